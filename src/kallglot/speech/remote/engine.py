"""What all remote engines are: a name, a session, a breaker, a budget; and how one of them asks for something."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from kallglot.clock import Clock, SystemClock
from kallglot.speech.remote.breaker import Breaker
from kallglot.speech.remote.config import ProviderConfig, Retry
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.http import HttpClient, Streamed
from kallglot.speech.remote.spending import Spending
from kallglot.speech.types import EngineError


@dataclass(slots=True)
class Counters:
    """Of one engine, since its start; what is asked of it is counted elsewhere (:mod:`kallglot.speech.counted`)."""

    retries: int = 0
    """Requests sent again."""
    reconnects: int = 0
    """Recognition streams that got a new connection."""
    given_up: int = 0
    """Recognition streams that failed for good."""
    garbled: int = 0
    """Messages that could not be understood."""


class RemoteEngine:
    """``sleep`` and ``clock`` are there for tests."""

    key_needed: ClassVar[bool] = True
    quality: str | None = None

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = config.name
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.counters = Counters()
        self.breaker = Breaker(self.name, config.breaker, self.clock.monotonic)
        self.spending = Spending(self.name, config.budget, self.clock)
        self.sleep = sleep
        self.proxy = _text_or_none(config, "proxy")
        self.http = HttpClient(self.name, config.timeouts, self.clock, self.reason, self.proxy)

    @property
    def healthy(self) -> bool:
        """It is asked, if only on trial."""
        return self.breaker.healthy

    def missing(self) -> str | None:
        if self.key_needed and not self.config.api_key:
            return f"{self.name} needs an API key"
        return None

    async def start(self) -> None:
        """Asks nothing of the vendor: a key that is wrong shows with the first request."""
        await self.http.start()

    async def close(self) -> None:
        await self.http.close()

    def reason(self, status: int, body: bytes) -> str | None:
        """The vendor's code for an error, as ``model_not_found``; a vendor's engine knows where it is. Never its
        text."""
        return None

    async def ask(self, request: Request) -> Answer:
        """One exchange, whole. Raises :class:`EngineError`."""
        try:
            async with asyncio.timeout(self.config.timeout_s), self.stream(request) as streamed:
                return await streamed.whole()
        except TimeoutError:
            error = RemoteError(f"{self.name} did not answer within {self.config.timeout_s:g} s")
            # Cut off from outside, the exchange itself has not told the breaker.
            self.breaker.failed(error)
            raise error from None

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed]:
        """One exchange whose answer is read piece by piece. It is tried again until its first piece has come. Raises
        :class:`EngineError`, also while it is read."""
        async with self.spending.place():
            streamed, held = await self._begin(request)
            async with held:
                yield streamed

    async def _begin(self, request: Request) -> tuple[Streamed, AsyncExitStack]:
        retry = self.config.retry
        last: EngineError | None = None
        for number in range(1, retry.tries + 1):
            try:
                async with AsyncExitStack() as trial:
                    try:
                        attempt = trial.enter_context(self.breaker.attempt())
                    except EngineError as refused:
                        raise last or refused from None
                    streamed = await trial.enter_async_context(self.http.open(request))
                    await streamed.first()
                    attempt.well()
                    return streamed, trial.pop_all()
            except EngineError as error:
                wait_s = pause(retry, number, error)
                if error is last or number == retry.tries or not request.repeatable or wait_s is None:
                    raise
                last = error
                self.counters.retries += 1
                await self.sleep(wait_s)
        raise AssertionError


def pause(retry: Retry, number: int, error: EngineError) -> float | None:
    """Before try ``number`` + 1, in seconds; None where there should be none."""
    if not error.passing or (isinstance(error, RemoteError) and error.blame != "engine"):
        return None
    wait_s = retry.first_wait_s * 2 ** (number - 1) * random.uniform(0.75, 1.25)
    if error.retry_after_s is not None:
        # A moment more than was asked for: clocks differ.
        wait_s = max(wait_s, error.retry_after_s + 0.02)
    return wait_s if wait_s <= retry.longest_wait_s else None


def _text_or_none(config: ProviderConfig, option: str) -> str | None:
    value: Any = config.options.get(option)
    return value if isinstance(value, str) else None
