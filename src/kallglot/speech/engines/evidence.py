"""How much speaks for a phrase having been said, and when that is enough. Pure.

A weighted sum of what an alignment tells, its weights found by logistic regression: ``benchmarks/phrases.py --fit``
makes them. To take other speech for a phrase is worse than to ask again, so that the sum is not compared with even odds
but with what is seldom reached by speech that is on no list.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from kallglot.speech.engines.alignment import Verdict

MOST_MARGIN: Final = 10.0
LEAST_LIKENESS: Final = -40.0
"""Of speech too short for a phrase it would be anything below."""
ENOUGH: Final = 1.6


class Weights(NamedTuple):
    likeness: float
    margin: float
    """Of its logarithm."""
    native: float
    """Where the phones are those of the phrase's language: likeness is higher there, also for what was not said."""
    hurried: float
    brief: float
    """Of ten by the number of sounds: in few there is little to be wrong."""
    constant: float


WEIGHTS: Final = Weights(0.42, 1.74, -3.32, -8.42, -0.77, 5.19)


def features(verdict: Verdict, *, native: bool) -> tuple[float, ...]:
    """In the order of :class:`Weights`."""
    margin = math.log1p(min(verdict.margin, MOST_MARGIN))
    likeness = max(verdict.likeness, LEAST_LIKENESS)
    return likeness, margin, float(native), verdict.hurried, 10 / verdict.sounds, 1.0


def evidence(verdict: Verdict, *, native: bool) -> float:
    """``native``: the phrase is in the language whose phones these are."""
    return math.fsum(weight * one for weight, one in zip(WEIGHTS, features(verdict, native=native), strict=True))


def confidence(evidence: float) -> float:
    """From 0 to 1, 0.5 where it is just enough."""
    return round(1 / (1 + math.exp(-max(-50.0, min(50.0, evidence - ENOUGH)))), 2)
