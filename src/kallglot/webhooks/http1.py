"""The answer of somebody we don't trust, out of its bytes: HTTP/1.1, bounded, and no more of it than was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import httptools

MOST_BYTES: Final = 64 * 1024
MOST_HEADER_BYTES: Final = 64 * 1024
MOST_BYTES_IN_ALL: Final = 256 * 1024
"""With what stands between chunks and behind them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The names of ``headers`` are lower-case; of one that comes twice the last is kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BadAnswer(Exception):
    """In words that may be shown to the customer."""


class Reader:
    """One answer: bytes in, :attr:`answer` when it is complete. ``reusable`` says whether another may follow on the
    same connection."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.reusable = False
        self.begun = False
        self._parser: Any = cast(Any, httptools).HttpResponseParser(self)
        self._head = 0
        self._read = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._in_body = False

    def feed(self, data: bytes) -> None:
        """Raises :class:`BadAnswer`."""
        self.begun = True
        self._read += len(data)
        if not self._in_body:
            # Counted before it is parsed: the parser keeps as much as there is of a header.
            self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish(reusable=False)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, BadAnswer):
                raise cause from None
            raise BadAnswer("The connection failed: what came is no HTTP answer.") from None
        except httptools.HttpParserError:
            # What comes behind an answer is not ours to read; the connection is not used again.
            if self.answer is None:
                raise BadAnswer("The connection failed: what came is no HTTP answer.") from None
            self.reusable = False
        if not self._in_body and self.answer is None and self._head > MOST_HEADER_BYTES:
            raise BadAnswer("The connection failed: the answer's headers are too large.")
        if self.answer is None and self._read > MOST_BYTES_IN_ALL:
            raise BadAnswer(f"The answer is larger than {MOST_BYTES} bytes.")

    def end(self) -> None:
        """The connection is closed. Raises :class:`BadAnswer` for half an answer."""
        if self.answer is not None:
            return
        if self._in_body and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._finish(reusable=False)
            return
        raise BadAnswer("The connection failed: it was closed before the answer was complete.")

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.answer is not None:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.answer is None and not self._in_body:
            # Those that come behind the body would belie those that it was read by.
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_body = self.answer is None and self._parser.get_status_code() >= 200

    def on_body(self, data: bytes) -> None:
        if self.answer is not None:
            return
        self._body += data
        if len(self._body) > MOST_BYTES:
            raise BadAnswer(f"The answer is larger than {MOST_BYTES} bytes.")

    def on_message_complete(self) -> None:
        if self.answer is not None:
            return
        if self._parser.get_status_code() < 200:
            # 100 and 103 are not yet the answer (RFC 9110, 15.2).
            self._headers.clear()
            return
        self._finish(reusable=bool(self._parser.should_keep_alive()))

    def _finish(self, *, reusable: bool) -> None:
        self.answer = Answer(self._parser.get_status_code(), self._headers, bytes(self._body))
        self.reusable = reusable
