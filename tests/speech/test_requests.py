"""Requests to real child processes: together, cancelled, killed, poisoned, stuck, and children that cannot start."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import until

from kallglot.speech.requests import RequestPool
from kallglot.speech.types import EngineError

SCRIPT = str(Path(__file__).parent / "standins" / "answering.py")
Pool = Callable[..., Any]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[RequestPool]:
        settings: dict[str, Any] = {"window": 8, "waiting": 16, "answer_seconds": 20.0, **changes}
        made = RequestPool("engine", [SCRIPT, str(tmp_path)], **settings)
        await made.start()
        try:
            yield made
        finally:
            await made.close()
        assert made.pids == []

    return opened


def done(folder: Path) -> list[str]:
    """What children have begun, in order."""
    return (folder / "done").read_text().splitlines() if (folder / "done").exists() else []


async def test_what_waits_at_the_same_time_is_done_together_and_answers_find_their_way(pool: Pool) -> None:
    async with pool() as requests:
        answers = await asyncio.gather(*(requests.ask(number) for number in range(8)))
        assert [answer[0] for answer in answers] == list(range(8))
        assert max(answer[1] for answer in answers) > 1
        with pytest.raises(EngineError, match="engine: not this"):
            await requests.ask(["refuse"])
        with pytest.raises(EngineError, match="more than a frame holds"):
            await requests.ask(["large"])
        assert await requests.ask("still") == ["still", 1]
        assert requests.restarts == 0


async def test_a_child_that_is_killed_over_a_request_is_replaced_and_asked_again(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        asked = asyncio.create_task(requests.ask(["wait", "go"]))
        await until(lambda: done(tmp_path))
        (pid,) = requests.pids
        os.kill(pid, signal.SIGKILL)
        await until(lambda: len(done(tmp_path)) == 2)
        (tmp_path / "go").touch()
        assert await asked == "waited"
        assert requests.pids != [pid]
        assert requests.restarts == 1
        assert requests.healthy


async def test_a_text_that_kills_takes_no_other_down_with_it(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        blocked = asyncio.create_task(requests.ask(["wait", "go"]))
        await until(lambda: done(tmp_path))
        deadly = asyncio.create_task(requests.ask(["die"]))
        harmless = [asyncio.create_task(requests.ask(number)) for number in range(4)]
        await asyncio.sleep(0)
        (tmp_path / "go").touch()
        with pytest.raises(EngineError, match="ended over this, 2 times"):
            await deadly
        assert [answer[0] for answer in await asyncio.gather(*harmless)] == [0, 1, 2, 3]
        assert await blocked == "waited"
        assert requests.restarts == 2


async def test_who_gives_up_holds_up_nobody(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        first = asyncio.create_task(requests.ask(["wait", "never"]))
        await until(lambda: done(tmp_path))
        second = asyncio.create_task(requests.ask("second"))
        third = asyncio.create_task(requests.ask("third"))
        await asyncio.sleep(0)
        for given_up in (second, first):
            given_up.cancel()
        assert (await third)[0] == "third"
        assert "second" not in done(tmp_path)
        assert requests.processes.streams == 0


async def test_the_row_is_bounded(pool: Pool, tmp_path: Path) -> None:
    async with pool(window=1, waiting=2) as requests:
        asked = [asyncio.create_task(requests.ask(["wait", "go"])) for _ in range(3)]
        await until(lambda: done(tmp_path))
        with pytest.raises(EngineError, match="busy, 2 texts are waiting"):
            await requests.ask("one more")
        (tmp_path / "go").touch()
        assert await asyncio.gather(*asked) == ["waited"] * 3


async def test_a_child_that_does_not_get_done_is_replaced(pool: Pool) -> None:
    async with pool(silent_seconds=1.0) as requests:
        with pytest.raises(EngineError, match=r"no answer within 0\.3 s"):
            await requests.ask(["hang"], within_s=0.3)
        assert (await requests.ask("after"))[0] == "after"
        assert requests.restarts == 1


async def test_a_child_that_is_only_slow_is_not(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        with pytest.raises(EngineError, match="no answer within"):
            await requests.ask(["wait", "go"], within_s=0.05)
        assert (await requests.ask("after"))[0] == "after"
        assert requests.restarts == 0


async def test_a_child_that_says_nothing_is_replaced(pool: Pool) -> None:
    async with pool(silent_seconds=0.4) as requests:
        (pid,) = requests.pids
        os.kill(pid, signal.SIGSTOP)
        assert (await requests.ask("after"))[0] == "after"
        assert requests.pids != [pid]


@pytest.mark.parametrize(
    ("trouble", "words"), [("broken", "engine: the files are of no use"), ("exit", "status 255: Bad model: giving up")]
)
async def test_a_child_that_cannot_load_says_why(pool: Pool, tmp_path: Path, trouble: str, words: str) -> None:
    (tmp_path / trouble).touch()
    with pytest.raises(EngineError, match=words):
        async with pool():
            pytest.fail("it started")


async def test_children_are_not_started_for_ever(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        (tmp_path / "broken").touch()
        waits = asyncio.create_task(requests.ask(["wait", "never"]))
        await until(lambda: done(tmp_path))
        os.kill(requests.pids[0], signal.SIGKILL)
        with pytest.raises(EngineError, match="of no use"):
            await waits
        restarts = requests.restarts
        with pytest.raises(EngineError, match="of no use"):
            await requests.ask("at once")
        assert requests.restarts == restarts
        assert requests.pids == []
        assert not requests.healthy


async def test_closing_fails_what_waits(pool: Pool, tmp_path: Path) -> None:
    async with pool() as requests:
        asked = asyncio.create_task(requests.ask(["wait", "never"]))
        await until(lambda: done(tmp_path))
    with pytest.raises(EngineError, match="engine: closed"):
        await asked
    with pytest.raises(EngineError, match="engine: closed"):
        await requests.ask("late")


async def test_several_children_share_the_work(pool: Pool, tmp_path: Path) -> None:
    async with pool(processes=2, window=1) as requests:
        await until(lambda: requests.processes.running == 2)
        asked = [asyncio.create_task(requests.ask(["wait", "go"])) for _ in range(2)]
        await until(lambda: len(done(tmp_path)) == 2)
        (tmp_path / "go").touch()
        await asyncio.gather(*asked)
