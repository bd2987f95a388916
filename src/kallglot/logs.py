"""Log lines: readable text, or a JSON object each; whose request and session they are about; and nothing private.

What must not be logged is not logged where it arises. Behind that stands the formatter, which takes keys, tokens and
telephone numbers out of every line, and leaves the message of a foreign exception away: drivers and parsers quote the
value that they stumbled over.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO, cast

from pythonjsonlogger.json import JsonFormatter

Format = Literal["text", "json"]

ACCESS: Final = "kallglot.access"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
session_id: ContextVar[str | None] = ContextVar("session_id", default=None)

QUIET: Final = (
    "aiohttp",
    "aiosqlite",
    "alembic",
    "httpcore",
    "httpx",
    "picows",
    "sqlalchemy",
    "stripe",
    "telnyx",
    "twilio",
    "urllib3",
)
"""They log addresses with what is in them, statements with their parameters, or each frame: from warnings on only,
whatever is asked of us."""
SILENT: Final = ("opentelemetry",)
"""What it would say with every batch is said once, by :mod:`kallglot.traces`."""

_PRIVATE: Final = re.compile(
    r"\b(?:sk_(?:live|test)|kst_(?:live|test)|whsec|rk_(?:live|test))_[\w.~-]+"
    r"|(?<=[?&;]token=)[^&\s\"']+"
    r"|(?<=\bBearer )\S+"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|(?<![\w.])(?:\+|%2B)\d{7,15}\b",
    re.IGNORECASE,
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_STANDARD_FIELDS: Final = ("timestamp", "level", "logger", "message", "request_id", "session_id", "error")

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


@contextmanager
def of_session(identifier: str) -> Generator[None]:
    """What is logged meanwhile, and by tasks that are begun meanwhile, is about this session."""
    token = session_id.set(identifier)
    try:
        yield
    finally:
        session_id.reset(token)


def redacted(text: str) -> str:
    """Without API keys, tokens, credentials in addresses, and telephone numbers."""
    return _PRIVATE.sub("…", text)


def configure(level: str, form: Format, *, stream: TextIO | None = None) -> None:
    """For the whole process, in place of what was set up before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class TextLines(logging.Formatter):
    """``time level logger: message [request session]``, and the traceback beneath it."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], redacted(record.getMessage()))
        about = [one for one in _about(record) if one]
        when = f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        line = f"{when} {record.levelname:<7} {record.name}: {message}"
        line += f" [{' '.join(about)}]" if about else ""
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + failure(record.exc_info)
        return line


class JsonLines(JsonFormatter):
    """``timestamp``, ``level``, ``logger``, ``message``, ``request_id``, ``session_id``, for exceptions ``error``, and
    what the line brings beside them (the access log: ``method``, ``route``, ``status``, ``duration_ms``)."""

    def __init__(self) -> None:
        super().__init__("%(message)s", json_ensure_ascii=False)  # pyright: ignore[reportUnknownMemberType]

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        brought = {name: value for name, value in log_data.items() if name not in _STANDARD_FIELDS}
        for gone in ("exc_info", "stack_info", "taskName", "color_message"):
            brought.pop(gone, None)
        request, session = _about(record)
        log_data.clear()
        log_data["timestamp"] = (
            datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        )
        log_data["level"] = record.levelname.lower()
        log_data["logger"] = record.name
        log_data["message"] = redacted(record.getMessage())
        log_data["request_id"] = request
        log_data["session_id"] = session
        if record.exc_info and record.exc_info[0] is not None:
            log_data["error"] = failure(record.exc_info)
        log_data.update({name: redacted(value) if isinstance(value, str) else value for name, value in brought.items()})


def failure(info: ExcInfo) -> str:
    """A traceback: where, of which type, and the message only of errors whose words are ours or the system's."""
    kind, error, trace = info
    if kind is None or error is None:
        return ""
    lines: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and cause is not error:
        lines += [failure((type(cause), cause, cause.__traceback__)), "and thereby"]
    lines += [line.rstrip() for line in traceback.format_tb(trace)]
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    told = _told(error)
    lines.append(redacted(f"{name}: {told}" if told else name))
    return "\n".join(lines)


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return f"{len(group.exceptions)} of {', '.join(sorted({type(one).__name__ for one in group.exceptions}))}"
    if isinstance(error, OSError):
        return error.strerror or ""
    ours = type(error).__module__.partition(".")[0] == "kallglot"
    return _CONTROL.sub(" ", str(error)) if ours else ""


def _about(record: logging.LogRecord) -> tuple[str | None, str | None]:
    """A line may say itself whose it is."""
    request: Any = getattr(record, "request_id", None) or request_id.get()
    session: Any = getattr(record, "session_id", None) or session_id.get()
    return request, session
