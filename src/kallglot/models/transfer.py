"""Fetching a file over HTTP, without a socket: its spans, what to ask for, what an answer means, when to try again.

Ranges and validators are those of RFC 9110, sections 8.8, 13.1.5 and 14; ``Retry-After`` is section 10.2.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)
_STAY_AWAY: Final = {400, 401, 403, 404, 405, 410, 451}


@dataclass(frozen=True, slots=True)
class Manners:
    """How servers are treated. Times in seconds, sizes in bytes."""

    connections: int = 4
    """At once, over all files."""
    smallest_part: int = 8 * 1024 * 1024
    """A file is split into parts no smaller than this."""
    save_after: int = 4 * 1024 * 1024
    """Of each connection: more is never fetched again after a crash."""
    timeout: float = 30.0
    """Without a byte, or until a connection is made."""
    slowest: int = 1024
    """Bytes a second; less over ``slow_after`` and the connection is made anew."""
    slow_after: float = 60.0
    tries: int = 6
    """In a row without getting on."""
    total_tries: int = 200
    first_wait: float = 1.0
    """Doubles with each try."""
    longest_wait: float = 60.0
    longest_retry_after: float = 300.0
    """A server that asks for more is given up."""
    redirects: int = 10
    largest: int = 16 * 1024**3
    """Of a file whose size nobody told beforehand."""


@dataclass(slots=True)
class Span:
    """Bytes ``start`` to ``end`` of the file, ``end`` not among them and None while nobody knows; ``done`` are here."""

    start: int
    end: int | None
    done: int = 0

    @property
    def at(self) -> int:
        return self.start + self.done

    @property
    def complete(self) -> bool:
        return self.end is not None and self.at >= self.end


@dataclass(slots=True)
class Journal:
    """What is known of a file that is being fetched: enough to go on in another process."""

    url: str
    total: int | None = None
    validator: str | None = None
    """A strong ETag, else the date of the last change: what ``If-Range`` takes."""
    ranges: bool = True
    """False: the server does not send parts."""
    spans: list[Span] = field(default_factory=lambda: [Span(0, None)])

    @property
    def done(self) -> int:
        return sum(span.done for span in self.spans)

    @property
    def complete(self) -> bool:
        return all(span.complete for span in self.spans)

    def resumable(self, checksum_known: bool) -> bool:
        """Without a validator another file could be continued, which only a checksum would find out."""
        return (
            self.ranges and self.total is not None and self.done > 0 and (self.validator is not None or checksum_known)
        )

    def split(self, total: int, parts: int, smallest: int) -> None:
        """Starts over with ``total`` bytes in up to so many spans."""
        count = max(1, min(parts, total // max(1, smallest)))
        step = -(-total // count) if total else 0
        self.total = total
        self.spans = [Span(at, min(at + step, total)) for at in range(0, total, step)] if total else [Span(0, 0)]

    def reset(self, *, ranges: bool = True) -> None:
        """Forgets everything that was fetched."""
        self.total, self.validator, self.ranges, self.spans = None, None, ranges, [Span(0, None)]

    def to_json(self) -> bytes:
        spans = [[span.start, span.end, span.done] for span in self.spans]
        told = {"url": self.url, "total": self.total, "validator": self.validator, "spans": spans}
        return json.dumps(told).encode()

    @classmethod
    def from_json(cls, data: bytes, url: str, length: int) -> Journal | None:
        """None unless it is of this address and fits a file of ``length`` bytes."""
        try:
            told: Any = json.loads(data)
            total, validator = told["total"], told["validator"]
            spans = [Span(int(start), int(end), int(done)) for start, end, done in told["spans"]]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None
        if told["url"] != url or not isinstance(total, int) or not isinstance(validator, str | None):
            return None
        edge = 0
        for span in spans:
            if span.start != edge or span.end is None or not 0 <= span.done <= span.end - span.start:
                return None
            if span.done and span.at > length:
                return None
            edge = span.end
        return cls(url, total, validator, True, spans) if edge == total else None


@dataclass(frozen=True, slots=True)
class Answer:
    """Of an HTTP response what matters here."""

    status: int
    length: int | None = None
    """Of the body, as told."""
    chunked: bool = False
    first: int | None = None
    """Of ``Content-Range``."""
    total: int | None = None
    validator: str | None = None
    encoding: str | None = None
    retry_after: str | None = None

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Answer:
        """``headers`` with names in lower case."""
        etag, length = headers.get("etag"), headers.get("content-length", "")
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        strong = etag if etag and not etag.startswith("W/") else None
        encoding = headers.get("content-encoding", "identity").strip().lower()
        return cls(
            status=status,
            length=int(length) if _NUMBER.fullmatch(length) else None,
            chunked="chunked" in headers.get("transfer-encoding", "").lower(),
            first=int(found[1]) if found else None,
            total=int(found[3]) if found and found[3] != "*" else None,
            validator=strong or headers.get("last-modified"),
            encoding=None if encoding == "identity" else encoding,
            retry_after=headers.get("retry-after"),
        )


@dataclass(frozen=True, slots=True)
class Take:
    """The body is bytes of the file from ``at`` on; ``total`` bytes in all, None where the end of the body tells."""

    at: int
    total: int | None
    ranged: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """Nothing that was fetched so far can be used. Not ``ranges``: this server sends no parts."""

    why: str
    ranges: bool = True


@dataclass(frozen=True, slots=True)
class Later:
    why: str
    seconds: float | None = None
    """What the server asked for."""
    fewer: bool = False
    """It was asked too much."""


@dataclass(frozen=True, slots=True)
class Never:
    why: str


Verdict = Take | Changed | Later | Never


def headers_for(journal: Journal, at: int | None, end: int | None) -> dict[str, str]:
    """For the bytes from ``at`` to before ``end``; everything with None, or from a server that sends no parts."""
    if at is None or not journal.ranges:
        return {}
    asked = {"Range": f"bytes={at}-{'' if end is None else end - 1}"}
    if journal.validator is not None:
        asked["If-Range"] = journal.validator
    return asked


def judge(answer: Answer, journal: Journal, at: int | None, *, size: int | None, now: datetime) -> Verdict:
    """What an answer to a request for the bytes from ``at`` on means; with None for everything.

    ``size``: what the file should have, where that is known.
    """
    if answer.status in (429, 503):
        return Later(
            f"the server answers {answer.status}", seconds_to_wait(answer.retry_after, now), answer.status == 429
        )
    if answer.status in _STAY_AWAY:
        return Never(f"the server answers {answer.status}{_MEANING.get(answer.status, '')}")
    if answer.status == 416:
        return Changed("the server has no such part of the file", ranges=journal.done > 0)
    if answer.status not in (200, 206):
        if answer.status >= 500 or answer.status == 408:
            return Later(f"the server answers {answer.status}", seconds_to_wait(answer.retry_after, now))
        return Never(f"the server answers {answer.status}, which is no download")
    if answer.encoding is not None:
        return Never(
            f"the server sends the file in the encoding {answer.encoding}, although it was asked for it as it is"
        )
    if answer.status == 206:
        return _part(answer, journal, at, size)
    if at is not None and journal.done:
        same = answer.validator is not None and answer.validator == journal.validator
        return Changed("the server no longer sends parts" if same else "the file has changed on the server", not same)
    if size is not None and answer.length not in (None, size):
        return Never(_other_size(answer.length, size))
    if size is None and answer.length is None and not answer.chunked:
        return Never("the server does not say how long the file is, and nobody else knows")
    return Take(0, answer.length if size is None else size, False)


def _part(answer: Answer, journal: Journal, at: int | None, size: int | None) -> Verdict:
    if at is None:
        return Never("the server sends a part of the file, although all of it was asked for")
    if answer.first != at:
        return Changed("the server sends other bytes than those that were asked for", ranges=False)
    if size is not None and answer.total not in (None, size):
        return Never(_other_size(answer.total, size))
    if journal.total is not None and answer.total not in (None, journal.total):
        return Changed("the file has changed its length on the server")
    if journal.validator is not None and answer.validator not in (None, journal.validator):
        return Changed("the file has changed on the server")
    total = journal.total or answer.total or size
    if total is None:
        return Changed("the server does not say how long the file is", ranges=False)
    return Take(at, total, True)


def seconds_to_wait(told: str | None, now: datetime) -> float | None:
    """Of ``Retry-After``: seconds, or a date. None for anything else."""
    if told is None:
        return None
    if _NUMBER.fullmatch(told.strip()):
        return float(told)
    try:
        then = parsedate_to_datetime(told)
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Patience:
    """Counts tries; a value, so each span of a file has its own."""

    manners: Manners
    without_progress: int = 0

    def got_on(self) -> Patience:
        return replace(self, without_progress=0)

    def failed(self) -> Patience:
        return replace(self, without_progress=self.without_progress + 1)

    @property
    def exhausted(self) -> bool:
        return self.without_progress >= self.manners.tries

    def wait(self, luck: float, asked: float | None = None) -> float | None:
        """Seconds until the next try: what the server ``asked`` for, else longer each time, spread by ``luck``, 0 to 1.

        None: the server asks for more than anybody waits.
        """
        if asked is not None:
            return None if asked > self.manners.longest_retry_after else asked
        longest = min(self.manners.longest_wait, self.manners.first_wait * 2 ** max(0, self.without_progress - 1))
        return longest * (0.5 + luck / 2)


@dataclass(slots=True)
class Pace:
    """Finds out that a connection has become too slow to be kept."""

    manners: Manners
    since: float
    bytes: int = 0

    def too_slow(self, count: int, now: float) -> bool:
        self.bytes += count
        if now - self.since < self.manners.slow_after:
            return False
        slow = self.bytes < self.manners.slowest * (now - self.since)
        self.since, self.bytes = now, 0
        return slow


def _other_size(told: int | None, size: int) -> str:
    return f"the server's file has {told} bytes, the catalogue says {size}: it is another one"


_MEANING: Final = {
    401: ": it wants a password",
    403: ": it does not let anybody have the file",
    404: ": it does not have the file",
    410: ": the file is gone for good",
    451: ": the file may not be had from here",
}
