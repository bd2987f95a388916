"""For what tells nobody that it has happened: other processes' files and logs."""

import asyncio
from collections.abc import Callable


async def until(happened: Callable[[], object], *, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
