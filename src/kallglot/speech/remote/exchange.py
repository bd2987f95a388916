"""One exchange over HTTP, as values: what is asked, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """Of a multipart form (RFC 7578): a field, or a file where ``filename`` is given."""

    name: str
    content: str | bytes = field(repr=False)
    filename: str | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """``url`` is whole. At most one of ``document`` (sent as JSON), ``body`` and ``parts``."""

    url: str = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    document: Any = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    parts: Sequence[Part] = field(default=(), repr=False)
    most_bytes: int = 1024 * 1024
    """Of the answer, or of all of a streamed one."""
    repeatable: bool = True
    """Nothing is harmed when it is sent twice."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of status 2xx."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Raises :class:`ValueError` for what is no JSON."""
        import msgspec

        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise ValueError("the answer is no JSON") from None
