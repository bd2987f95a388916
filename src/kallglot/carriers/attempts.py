"""Requests to a carrier that may be repeated: which, how often, and when."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar, cast

from kallglot.carriers.client import CarrierError
from kallglot.texts import cleaned

ATTEMPTS: Final = 3
ATTEMPT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 25.0
"""No attempt ends later, waits included."""
LONGEST_WAIT_SECONDS: Final = 5.0
"""A carrier that asks for more than that gets no further attempt."""
_FIRST_WAIT_SECONDS: Final = 0.25
_OWN_SECRETS: Final = re.compile(r"\b(kst|sk|whsec)_[A-Za-z0-9_-]+")

Sleep = Callable[[float], Awaitable[None]]
T = TypeVar("T")


class Failed(CarrierError):
    """``passing``: another attempt may succeed. ``retry_after`` in seconds, as the carrier asked."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        gone: bool = False,
        unclear: bool = False,
        passing: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, gone=gone, unclear=unclear)
        self.passing = passing
        self.retry_after = retry_after


async def attempted(once: Callable[[], Awaitable[T]], *, repeatable: bool, sleep: Sleep = asyncio.sleep) -> T:
    """Runs ``once`` up to three times, ten seconds each. What is not ``repeatable`` is not run again after a failure
    that leaves open whether it was done. Raises :class:`CarrierError`."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + TOTAL_SECONDS
    number = 0
    while True:
        number += 1
        try:
            async with asyncio.timeout_at(min(loop.time() + ATTEMPT_SECONDS, ends)):
                return await once()
        except TimeoutError:
            failed = Failed("The carrier did not answer in time.", unclear=True, passing=True)
        except Failed as error:
            failed = error
        wait = failed.retry_after
        if wait is None:
            wait = _FIRST_WAIT_SECONDS * 2**number * random.uniform(0.5, 1)
        again = failed.passing and number < ATTEMPTS and (repeatable or not failed.unclear)
        if not again or wait > LONGEST_WAIT_SECONDS or loop.time() + wait >= ends:
            raise failed from None
        await sleep(wait)


def refusal(message: str, status: int, headers: Mapping[str, str], *, code: str | None, gone: bool = False) -> Failed:
    """What an answer of HTTP ``status`` means: after a 408 or a 5xx nobody knows whether it was done."""
    unclear = status == 408 or status >= 500
    return Failed(
        message,
        code=code,
        status=status,
        gone=gone,
        unclear=unclear,
        passing=unclear or status == 429,
        retry_after=retry_after(headers),
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds, from ``Retry-After`` in either of its forms; None where it is missing or not understood."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def presentable(text: str, secrets: Iterable[object]) -> str:
    """One line without any of ``secrets``: carriers quote keys and addresses in what they say."""
    for secret in sorted({part for one in secrets for part in _parts(one)}, key=len, reverse=True):
        text = text.replace(secret, "…")
    return " ".join(cleaned(_OWN_SECRETS.sub("…", text)).split())[:300]


def _parts(secret: object) -> set[str]:
    """The secret, and the halves of a key such as Telnyx's ``KEY…_…``, of which the first is quoted alone."""
    if isinstance(secret, Mapping):
        return {part for one in cast("Mapping[str, object]", secret).values() for part in _parts(one)}
    if not isinstance(secret, str):
        return set()
    return {part for part in (secret, *secret.split("_")) if len(part) >= 8}
