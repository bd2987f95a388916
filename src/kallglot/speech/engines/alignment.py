"""Which of several phone sequences some speech is most like, and whether it is like any of them. Pure.

Every phrase is aligned with all of the speech, without pruning: a sequence of three states for each phone, with silence
allowed between words and around them (Viterbi, no probabilities of transition). What no phrase has to be like is the
best of all sequences of phones, a phone loop: the distance to it is what a choice is believed by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kallglot.audio.levels import Floats
from kallglot.speech.engines.phones import Saying

STATES: Final = 3
SILENCE: Final = "SIL"
LOOP_PENALTY: Final = 100.0
"""For each phone of the loop, in the units of the acoustic model's scores: as many phones as in speech, no more."""
_NEVER: Final = np.float32(-1e9)

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """Sayings one behind the other: the column of scores of each state, and where a path may enter."""

    columns: Indices
    begins: Flags
    skips: Indices
    """States that may also follow the last one before a silence."""
    starts: Indices
    ends: Indices
    choices: Indices
    """Of each saying: the number of what it says."""


class Verdict(NamedTuple):
    choice: int
    likeness: float
    """Distance to the phone loop for each frame of 10 ms: 0 is as like as anything can be, -20 unlike."""
    margin: float
    """Distance to the best saying of anything else, for each frame."""


def compiled(sayings: Sequence[tuple[int, Saying]], phones: Mapping[str, int]) -> Grammar:
    """``phones`` has the number of each phone in the acoustic model, silence among them. Raises ``KeyError``."""
    columns: list[int] = []
    skips: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    for _, said in sayings:
        starts.append(len(columns))
        for number, word in enumerate(said):
            columns += _states((SILENCE,), phones)
            if number:
                skips.append(len(columns))
            columns += _states(word, phones)
        columns += _states((SILENCE,), phones)
        ends.append(len(columns) - 1)
    begins = np.zeros(len(columns), np.bool_)
    begins[starts] = True
    return Grammar(
        np.array(columns, np.intp),
        begins,
        np.array(skips, np.intp),
        np.array(starts, np.intp),
        np.array(ends, np.intp),
        np.array([choice for choice, _ in sayings], np.intp),
    )


def _states(word: Sequence[str], phones: Mapping[str, int]) -> list[int]:
    return [phones[phone] * STATES + state for phone in word for state in range(STATES)]


def judged(scores: Floats, grammar: Grammar) -> Verdict:
    """``scores`` are (frames, states of all phones), 0 the best of a frame and the others below."""
    each = _aligned(scores, grammar)
    best = int(np.argmax(each))
    choice = int(grammar.choices[best])
    others = each[grammar.choices != choice]
    frames = len(scores)
    margin = float(each[best] - others.max()) / frames if len(others) else np.inf
    return Verdict(choice, float(each[best] - looped(scores)) / frames, float(margin))


def _aligned(scores: Floats, grammar: Grammar) -> Floats:
    """The score of the best path through each saying; it ends in the last word or in the silence behind it."""
    columns, skips = grammar.columns, grammar.skips
    here = np.full(len(columns), _NEVER, np.float32)
    # Before the speech there is silence, or none.
    here[grammar.starts] = here[grammar.starts + STATES] = 0.0
    here += scores[0, columns]
    entered = np.empty_like(here)
    for frame in scores[1:]:
        over = here[skips - STATES - 1]
        entered[1:] = here[:-1]
        entered[grammar.begins] = _NEVER
        np.maximum(here, entered, out=entered)
        entered[skips] = np.maximum(entered[skips], over)
        np.add(entered, frame[columns], out=here)
    return np.maximum(here[grammar.ends], here[grammar.ends - STATES])


def looped(scores: Floats) -> float:
    """The score of the best sequence of any phones."""
    frames = scores.reshape(len(scores), -1, STATES)
    here = np.full(frames.shape[1:], _NEVER, np.float32)
    here[:, 0] = frames[0, :, 0]
    for frame in frames[1:]:
        follows = here[:, -1].max() - LOOP_PENALTY
        here[:, 1:] = np.maximum(here[:, 1:], here[:, :-1])
        here[:, 0] = np.maximum(here[:, 0], follows)
        here += frame
    return float(here[:, -1].max())
