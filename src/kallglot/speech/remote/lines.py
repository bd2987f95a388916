"""Text that comes in pieces: UTF-8 whose characters are cut, lines, JSON lines, server-sent events. Pure.

Sources: RFC 3629 (UTF-8), https://html.spec.whatwg.org/multipage/server-sent-events.html (the event stream format).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

LONGEST_LINE: Final = 1 << 20
"""Characters; of one event's data, too."""


class Lines:
    """Bytes in any pieces, whole lines out, without their ends. A line may end with LF, CR LF or CR. Bytes that are no
    UTF-8 become U+FFFD. Raises :class:`ValueError` for a line that does not end."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._longest = longest
        self._pieces: list[str] = []
        self._length = 0
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[str]:
        text = self._decode(data)
        if self._after_cr and text:
            self._after_cr = False
            text = text.removeprefix("\n")
        if text.endswith("\r"):
            self._after_cr = True
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines[:-1]:
            yield self._whole(line)
        self._keep(lines[-1])

    def end(self) -> Iterator[str]:
        """What came after the last end of a line, where there was something."""
        self._keep(self._decode(b"", True))
        if self._length:
            yield self._whole("")

    def _whole(self, line: str) -> str:
        self._keep(line)
        whole = "".join(self._pieces)
        self._pieces.clear()
        self._length = 0
        return whole

    def _keep(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            self._length += len(piece)
            if self._length > self._longest:
                raise ValueError(f"a line is longer than {self._longest} characters")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """``data`` is the joined data lines; ``event`` is ``message`` where the server names none."""

    data: str
    event: str = "message"
    id: str | None = None


class ServerEvents:
    """The event stream format. An event that the end of the stream cuts off is left out, as the standard has it;
    servers that leave out the last empty line are understood all the same by :meth:`end`."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._lines = Lines(longest)
        self._longest = longest
        self._data: list[str] = []
        self._length = 0
        self._event = ""
        self._id: str | None = None
        self._first = True

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        for line in self._lines.feed(data):
            yield from self._line(line)

    def end(self) -> Iterator[ServerEvent]:
        for line in self._lines.end():
            yield from self._line(line)
        yield from self._line("")

    def _line(self, line: str) -> Iterator[ServerEvent]:
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        if not line:
            if self._data:
                yield ServerEvent("\n".join(self._data), self._event or "message", self._id)
            self._data, self._event, self._length = [], "", 0
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._length += len(value)
            if self._length > self._longest:
                raise ValueError(f"an event is longer than {self._longest} characters")
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value


class JsonLines:
    """One JSON value a line; empty lines are passed over. Raises :class:`ValueError` for a line that is none."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._lines = Lines(longest)

    def feed(self, data: bytes) -> Iterator[Any]:
        for line in self._lines.feed(data):
            yield from _value(line)

    def end(self) -> Iterator[Any]:
        for line in self._lines.end():
            yield from _value(line)


def _value(line: str) -> Iterator[Any]:
    if line.strip():
        try:
            yield msgspec.json.decode(line)
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError("a line is no JSON") from None
