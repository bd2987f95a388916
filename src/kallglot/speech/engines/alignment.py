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
    """Distance to the best saying of anything else, for each frame; infinite where the list has nothing else."""
    saying: int
    """Which of the grammar's it was aligned with."""
    sounds: int
    """Phones of that saying."""
    hurried: float
    """The part of them, 0 to 1, that got no more frames than a phone has to have: what was not said, as a rule."""


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
    lengths = durations(scores, grammar, best)
    hurried = float((lengths <= STATES).mean())
    likeness = float(each[best] - looped(scores)) / frames
    return Verdict(choice, likeness, float(margin), best, len(lengths), hurried)


def durations(scores: Floats, grammar: Grammar, saying: int) -> Indices:
    """Frames of each phone of a saying, silences left out."""
    start, end = grammar.starts[saying], grammar.ends[saying] + 1
    spoken = np.ones((end - start) // STATES, np.bool_)
    spoken[[0, -1]] = False
    # What may be skipped to is behind a silence.
    spoken[(_skips(grammar, saying) - STATES) // STATES] = False
    return np.bincount(traced(scores, grammar, saying) // STATES, minlength=len(spoken))[spoken]


def traced(scores: Floats, grammar: Grammar, saying: int) -> Indices:
    """The state of each frame on the best path through a saying, counted from its first: silence and its phones, with
    :data:`STATES` states each."""
    start, end = grammar.starts[saying], grammar.ends[saying] + 1
    emitted = scores[:, grammar.columns[start:end]]
    skips = _skips(grammar, saying)
    here = np.full(end - start, _NEVER, np.float32)
    here[[0, STATES]] = 0.0
    here += emitted[0]
    # How many states back each came from.
    back = np.zeros(emitted.shape, np.int64)
    for at in range(1, len(scores)):
        came = np.concatenate(([-np.inf], here[:-1]))
        over = here[skips - STATES - 1]
        back[at] = came > here
        best = np.maximum(here, came)
        shorter = over > best[skips]
        back[at, skips[shorter]] = STATES + 1
        best[skips] = np.maximum(best[skips], over)
        here = (best + emitted[at]).astype(np.float32)
    state = len(here) - 1
    if here[state - STATES] > here[state]:
        state -= STATES
    states = np.empty(len(scores), np.intp)
    for at in range(len(scores) - 1, -1, -1):
        states[at] = state
        state -= int(back[at, state])
    return states


def _skips(grammar: Grammar, saying: int) -> Indices:
    """Counted from the saying's first state."""
    start, end = grammar.starts[saying], grammar.ends[saying]
    return grammar.skips[(grammar.skips > start) & (grammar.skips < end)] - start


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
