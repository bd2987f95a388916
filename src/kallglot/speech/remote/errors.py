"""What can go wrong with an engine over the network, in words that are safe to show: neither keys nor what a server
says are in them, since servers quote keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from kallglot.speech.types import EngineError

Blame = Literal["engine", "key", "request", "budget"]
"""Whose fault it is: only the engine's and the key's say anything about the next request."""

LONGEST_REASON: Final = 64
_REASON: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class RemoteError(EngineError):
    def __init__(
        self,
        message: str,
        *,
        blame: Blame = "engine",
        passing: bool | None = None,
        retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(
            message, passing=blame == "engine" if passing is None else passing, retry_after_s=retry_after_s
        )
        self.blame: Blame = blame
        self.status = status


def of_status(
    name: str, status: int, headers: Mapping[str, str], now: datetime, reason: str | None = None
) -> RemoteError:
    """What a status other than 2xx means. ``headers`` have names in small letters; ``reason`` is the vendor's code for
    it, left out where it is no plain word (RFC 9110, section 15)."""
    said = f" ({reason})" if reason and _REASON.fullmatch(reason) else ""
    after_s = retry_after(headers, now)
    if status in (401, 403):
        return RemoteError(f"{name} refused the key: {status}{said}", blame="key", status=status)
    if status == 402:
        return RemoteError(f"{name} wants to be paid: 402{said}", blame="key", status=status)
    if status == 429:
        return RemoteError(f"{name} has too much to do: 429{said}", retry_after_s=after_s, status=status)
    if status in (408, 425) or status >= 500:
        return RemoteError(f"{name} failed: {status}{said}", retry_after_s=after_s, status=status)
    if status in (404, 405, 410, 426):
        # The address or the model is wrong: true of every other request too.
        return RemoteError(f"{name} does not know this: {status}{said}", passing=False, status=status)
    if 300 <= status < 400:
        return RemoteError(f"{name} sends us elsewhere: {status}; redirects are not followed", passing=False)
    return RemoteError(f"{name} refused the request: {status}{said}", blame="request", status=status)


def unusable(name: str, what: str) -> RemoteError:
    """An answer that cannot be used; nobody knows whether the next one can."""
    return RemoteError(f"{name}: {what}", blame="request", passing=True)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds, of Retry-After (RFC 9110, section 10.2.3); None where it is missing or makes no sense. A date is by the
    server's own clock, which ``Date`` tells; ``now`` is for servers that leave that out."""
    given = headers.get("retry-after", "").strip()
    if not given[:1].isdigit():
        until = _moment(given)
        return None if until is None else max(0.0, (until - (_moment(headers.get("date", "")) or now)).total_seconds())
    try:
        seconds = float(given)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _moment(date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
