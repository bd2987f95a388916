"""Who a process is after a crash; and work in batches."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.waiting import until

from kallglot.runner import Runner
from kallglot.webhooks.gathering import Gathering


def test_the_same_name_again_and_another_while_it_is_taken(tmp_path: Path) -> None:
    with Runner(tmp_path) as first, Runner(tmp_path) as second:
        assert second.name != first.name
    with Runner(tmp_path) as again:
        assert again.name == first.name


def test_a_process_that_is_killed_leaves_its_name(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom kallglot.runner import Runner\n"
        "kept = Runner(pathlib.Path(sys.argv[1]))\nprint(kept.name, flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        with Runner(tmp_path) as other:
            assert other.name != name
        process.kill()
    with Runner(tmp_path) as next_one:
        assert next_one.name == name


def test_a_copy_of_the_folder_is_somebody_else(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with Runner(here) as first:
        shutil.copytree(here, there)
        with Runner(there) as second:
            assert second.name != first.name


@pytest.mark.parametrize("left", ["", "rubbish", "\x00" * 32, "a" * 31])
def test_a_file_that_is_broken(tmp_path: Path, left: str) -> None:
    (tmp_path / "process.id").write_text(left)
    with Runner(tmp_path) as first:
        assert len(first.name) == 32
    with Runner(tmp_path) as again:
        assert again.name == first.name


async def test_what_comes_meanwhile_goes_into_the_next_batch() -> None:
    batches: list[list[int]] = []
    free = asyncio.Event()

    async def work(some: list[int]) -> list[int]:
        batches.append(some)
        await free.wait()
        return [2 * one for one in some]

    gathering = Gathering("test", work, 3)
    gathering.start()
    first = gathering.ask(1)
    await until(lambda: batches)
    rest = [gathering.ask(n) for n in range(2, 7)]
    free.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8, 10, 12]
    assert batches == [[1], [2, 3, 4], [5, 6]]
    await gathering.close(1)


async def test_what_cannot_be_done_holds_up_nothing_else() -> None:
    async def work(some: list[int]) -> list[int]:
        if 3 in some:
            raise ValueError("three")
        return some

    gathering = Gathering("test", work, 8)
    gathering.start()
    asked = [gathering.ask(n) for n in range(6)]
    done = [future for n, future in enumerate(asked) if n != 3]
    async with asyncio.timeout(30):
        assert await asyncio.gather(*done) == [0, 1, 2, 4, 5]
    assert not asked[3].done()
    await gathering.close(0)
    assert asked[3].cancelled()
