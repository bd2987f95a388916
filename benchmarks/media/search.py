"""The largest number of legs that holds, found with as few tries as can be. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

FACTOR: Final = 1.4
STEP: Final = 2
"""A session has two sides, and who is alone in one hears nobody."""


def held(tried: Mapping[int, float], limit: float) -> int:
    """The largest number whose try stayed below the limit, with none that failed beneath it; 0: there is none.

    ``tried`` is what each number of legs came to, the first and only time that it was tried.
    """
    failed = min((legs for legs, value in tried.items() if value >= limit), default=math.inf)
    return max((legs for legs, value in tried.items() if legs < failed), default=0)


def next_try(
    tried: Mapping[int, float],
    limit: float,
    *,
    first: int,
    most: int,
    resolution: float,
    factor: float = FACTOR,
) -> int | None:
    """Larger and larger by a factor, or smaller and smaller by its square; then between what held and what failed,
    until these are within ``resolution`` of each other. None: it is known. Numbers are even."""
    best = held(tried, limit)
    failed = min((legs for legs, value in tried.items() if value >= limit), default=None)
    most = _even(most)
    if not tried:
        return max(STEP, _even(min(first, most)))
    if failed is None:
        return None if best >= most else min(most, max(best + STEP, _even(round(best * factor))))
    if best == 0:
        return None if failed <= STEP else max(STEP, _even(int(failed / factor**2)))
    if failed - best <= max(STEP, resolution * best):
        return None
    between = _even(round(math.sqrt(best * failed)))
    return between if best < between < failed else best + STEP


def _even(legs: int) -> int:
    return legs - legs % STEP
