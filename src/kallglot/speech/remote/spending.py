"""What an engine may still be asked for: places for requests, seconds of audio and characters a day."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date

from kallglot.clock import Clock
from kallglot.speech.remote.config import Budget
from kallglot.speech.remote.errors import RemoteError


class Spending:
    def __init__(self, name: str, budget: Budget, clock: Clock) -> None:
        self._name = name
        self._budget = budget
        self._clock = clock
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._day: date = clock.now().astimezone(UTC).date()
        self._seconds = 0.0
        self._characters = 0

    @property
    def running(self) -> int:
        return self._taken

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def seconds_today(self) -> float:
        self._turn_day()
        return self._seconds

    @property
    def characters_today(self) -> int:
        self._turn_day()
        return self._characters

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Holds one of the places, after waiting for it in line. Raises :class:`RemoteError` when that takes too long,
        or too many wait already."""
        if self._taken >= self._budget.at_once:
            await self._wait()
        else:
            self._taken += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def place_at_once(self) -> Generator[None]:
        """The same without waiting."""
        if self._taken >= self._budget.at_once:
            raise self._refused(f"all {self._budget.at_once} streams that it may have at once are in use", 1.0)
        self._taken += 1
        try:
            yield
        finally:
            self._leave()

    def spend_seconds(self, seconds: float) -> None:
        """Raises :class:`RemoteError` when the day's are used up; the last may be exceeded by one piece."""
        self._turn_day()
        most = self._budget.seconds_a_day
        if most is not None and self._seconds >= most:
            raise self._refused(f"the {most:g} seconds of audio for today are used up", self._rest_of_day_s())
        self._seconds += seconds

    def spend_characters(self, count: int) -> None:
        self._turn_day()
        most = self._budget.characters_a_day
        if most is not None and self._characters + count > most:
            raise self._refused(f"the {most} characters for today are used up", self._rest_of_day_s())
        self._characters += count

    async def _wait(self) -> None:
        budget = self._budget
        if len(self._waiting) >= budget.waiting:
            raise self._refused(f"{budget.at_once} requests are under way and {budget.waiting} wait", 1.0)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(budget.wait_s):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise self._refused(f"no place got free within {budget.wait_s:g} s", 1.0) from None
        except BaseException:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn in self._waiting:
            self._waiting.remove(turn)
        elif turn.done() and not turn.cancelled():
            # It was handed the place in the very moment in which it left.
            self._leave()

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1

    def _turn_day(self) -> None:
        today = self._clock.now().astimezone(UTC).date()
        # Put back over midnight a clock makes no new day; one that was far ahead is not believed for ever.
        if today > self._day or (self._day - today).days > 1:
            self._day, self._seconds, self._characters = today, 0.0, 0

    def _rest_of_day_s(self) -> float:
        now = self._clock.now().astimezone(UTC)
        return 86400.0 - (now.hour * 3600 + now.minute * 60 + now.second)

    def _refused(self, why: str, retry_after_s: float) -> RemoteError:
        return RemoteError(f"{self._name}: {why}", blame="budget", passing=True, retry_after_s=retry_after_s)
