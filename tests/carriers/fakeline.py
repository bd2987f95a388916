"""A carrier's REST client that a test plays by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call


@dataclass
class FakeLine:
    orders: list[Order] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    refuses: CarrierError | None = None
    sends_digits: bool = False
    closed: bool = False

    async def dial(self, order: Order) -> str:
        self.orders.append(order)
        if self.refuses is not None:
            raise self.refuses
        return f"CA{order.call_id[-26:]}"

    async def hang_up(self, call: Call) -> None:
        self._ask("hang_up", call)

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        self._ask(f"transfer {to} {result_url}", call)

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        self.streams.append(stream)
        self._ask("restream", call)

    async def send_digits(self, call: Call, digits: str) -> bool:
        self._ask(f"digits {digits}", call)
        return self.sends_digits

    async def answer(self, call: Call, stream: Stream) -> None:
        self.streams.append(stream)
        self._ask("answer", call)

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        self.asked.append(("reject busy" if busy else "reject", carrier_call_id))

    async def close(self) -> None:
        self.closed = True

    def _ask(self, what: str, call: Call) -> None:
        self.asked.append((what, call.carrier_call_id or ""))
        if self.refuses is not None:
            raise self.refuses
