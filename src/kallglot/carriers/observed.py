"""A carrier's client that reports what was asked of it, and what became of that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from kallglot.carriers.client import CarrierClient, CarrierError, Order, Stream
from kallglot.carriers.model import Call
from kallglot.clock import Clock
from kallglot.work import Observe, Work

Answer = TypeVar("Answer")
_REFUSED: Final = "refused"
_UNCLEAR: Final = "unclear"
_AWAY: Final = "unreachable"


class ObservedClient:
    """A :class:`CarrierClient`. Outcomes: ok, gone (the call had ended), refused, unclear, unreachable."""

    def __init__(self, client: CarrierClient, carrier: str, observe: Observe, clock: Clock) -> None:
        self._client = client
        self._carrier = carrier
        self._observe = observe
        self._clock = clock

    async def dial(self, order: Order) -> str:
        return await self._watched("dial", self._client.dial(order), order.call_id, order.session_id)

    async def answer(self, call: Call, stream: Stream) -> None:
        await self._watched("answer", self._client.answer(call, stream), call.id, call.session_id)

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        await self._watched("reject", self._client.reject(carrier_call_id, busy=busy), None, None)

    async def hang_up(self, call: Call) -> None:
        await self._watched("hang_up", self._client.hang_up(call), call.id, call.session_id)

    async def send_digits(self, call: Call, digits: str) -> bool:
        return await self._watched("send_digits", self._client.send_digits(call, digits), call.id, call.session_id)

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        asked = self._client.transfer(call, to, from_=from_, timeout_seconds=timeout_seconds, result_url=result_url)
        await self._watched("transfer", asked, call.id, call.session_id)

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        asked = self._client.restream(call, stream, answer_url)
        await self._watched("restream", asked, call.id, call.session_id)

    async def close(self) -> None:
        await self._client.close()

    async def _watched(
        self, name: str, asked: Awaitable[Answer], call_id: str | None, session_id: str | None
    ) -> Answer:
        began, outcome = time.monotonic(), "failed"
        try:
            answer = await asked
            outcome = "ok"
        except CarrierError as error:
            outcome = _outcome(error)
            raise
        except asyncio.CancelledError:
            outcome = _UNCLEAR
            raise
        finally:
            about: dict[str, str | int | float | bool] = {"kallglot.carrier": self._carrier}
            if call_id is not None:
                about["kallglot.call.id"] = call_id
            work = Work(
                "carrier_request",
                name,
                outcome,
                self._clock.now(),
                time.monotonic() - began,
                failed=outcome not in ("ok", "gone"),
                session_id=session_id,
                about=about,
            )
            self._observe(work)
        return answer


def _outcome(error: CarrierError) -> str:
    if error.gone:
        return "gone"
    if error.status is None:
        return _AWAY
    return _UNCLEAR if error.unclear else _REFUSED
