"""How a conversation went, from nothing but when each side spoke. Pure.

Turns of one role that overlap or follow each other are one *stretch*: what somebody says until somebody else says
something. Turns that take no time were typed; they are counted, and else left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from statistics import median
from typing import Any, Final

from kallglot.analysis.spoken import Spoken

ROLES: Final = ("customer", "agent")
OVERLAP_MS: Final = 500
"""Less is a "yes" or an "mhm" said meanwhile, or the end of one turn under the beginning of the next."""
SILENCE_MS: Final = 3000
"""Nobody says anything for longer."""

RESPONSE_S: Final = (3.0, 12.0)
SILENT_SHARE: Final = (0.1, 0.5)
INTERRUPTIONS: Final = (0.0, 0.3)
"""For each turn of the customer."""
AGENT_SHARE: Final = (0.2, 0.45)
"""How far from one half the agent's share of the talking is."""
WEIGHTS: Final = {"response": 0.3, "interruptions": 0.25, "silence": 0.25, "balance": 0.2}
"""A measure is 1 up to the first of its bounds and 0 from the second on, and falls evenly in between."""

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces: their words are not counted."""


@dataclass(slots=True)
class _Stretch:
    role: str
    start_ms: int
    end_ms: int


def performance(turns: Sequence[Spoken]) -> dict[str, Any]:
    """In seconds. Whatever cannot be known, as where only one side spoke, is null; ``score`` too where nothing can."""
    spoken = sorted((turn for turn in turns if turn.end_ms > turn.start_ms), key=lambda turn: turn.start_ms)
    talk = {role: _covered(one for one in spoken if one.speaker == role) for role in ROLES}
    total = sum(talk.values())
    stretches = _stretches(spoken)
    responses = _responses(stretches)
    interruptions = _interruptions(spoken)
    silence = _silence(spoken)
    counted = Counter(turn.speaker for turn in turns)
    found: dict[str, Any] = {
        "talk_seconds": {role: _seconds(talk[role]) for role in ROLES},
        "talk_ratio": {role: round(talk[role] / total, 3) if total else None for role in ROLES},
        "turns": {role: counted[role] for role in ROLES},
        "words_per_minute": {role: _pace(spoken, role, talk[role]) for role in ROLES},
        "interruptions": {role: interruptions[role] for role in ROLES},
        "silence": silence,
        "response_times": {role: _spread(responses[role]) for role in ROLES},
    }
    parts = _measures(found, talk, bool(spoken))
    return {"score": _score(parts), "score_parts": parts, **found}


def _measures(found: dict[str, Any], talk: dict[str, int], anything: bool) -> dict[str, float | None]:
    agents = found["response_times"]["agent"]["median_seconds"]
    both = talk["customer"] > 0 and talk["agent"] > 0
    asked = found["turns"]["customer"]
    share = found["talk_ratio"]["agent"]
    return {
        "response": None if agents is None else _fall(agents, RESPONSE_S),
        "interruptions": _fall(found["interruptions"]["agent"] / asked, INTERRUPTIONS) if both else None,
        "silence": _fall(found["silence"]["share"], SILENT_SHARE) if anything else None,
        "balance": _fall(abs(share - 0.5), AGENT_SHARE) if both else None,
    }


def _score(parts: dict[str, float | None]) -> float | None:
    known = {name: value for name, value in parts.items() if value is not None}
    weight = sum(WEIGHTS[name] for name in known)
    return round(sum(WEIGHTS[name] * value for name, value in known.items()) / weight, 2) if known else None


def _fall(value: float, bounds: tuple[float, float]) -> float:
    good, bad = bounds
    return round(min(1.0, max(0.0, (bad - value) / (bad - good))), 3)


def _covered(turns: Iterable[Spoken]) -> int:
    """Milliseconds in which at least one of them, sorted by their beginning, goes on."""
    total = until = 0
    for turn in turns:
        total += max(0, turn.end_ms - max(turn.start_ms, until))
        until = max(until, turn.end_ms)
    return total


def _stretches(spoken: Sequence[Spoken]) -> list[_Stretch]:
    found: list[_Stretch] = []
    for turn in spoken:
        if found and found[-1].role == turn.speaker:
            found[-1].end_ms = max(found[-1].end_ms, turn.end_ms)
        else:
            found.append(_Stretch(turn.speaker, turn.start_ms, turn.end_ms))
    return found


def _responses(stretches: Sequence[_Stretch]) -> dict[str, list[int]]:
    """From the end of the other's stretch to the beginning of the answer. Who begins before the other has ended does
    not answer, nor does who goes on after the other's word in between."""
    found: dict[str, list[int]] = {role: [] for role in ROLES}
    until: dict[str, int] = {}
    for stretch in stretches:
        others = max((end_ms for role, end_ms in until.items() if role != stretch.role), default=None)
        own = until.get(stretch.role, 0)
        if others is not None and stretch.role in found and own <= others <= stretch.start_ms:
            found[stretch.role].append(stretch.start_ms - others)
        until[stretch.role] = max(own, stretch.end_ms)
    return found


def _interruptions(spoken: Sequence[Spoken]) -> Counter[str]:
    """Turns begun while another participant's was going on, and went on for at least ``OVERLAP_MS``; by who began
    them. Of two that begin in the same moment neither interrupts."""
    found: Counter[str] = Counter()
    until: dict[str, int] = {}
    for start_ms, several in groupby(spoken, key=lambda turn: turn.start_ms):
        begun = list(several)
        for turn in begun:
            others = [end_ms for participant, end_ms in until.items() if participant != turn.participant_id]
            if others and min(max(others), turn.end_ms) - start_ms >= OVERLAP_MS:
                found[turn.speaker] += 1
        for turn in begun:
            until[turn.participant_id] = max(until.get(turn.participant_id, 0), turn.end_ms)
    return found


def _silence(spoken: Sequence[Spoken]) -> dict[str, Any]:
    """Between the first word and the last."""
    if not spoken:
        return {
            "total_seconds": 0.0,
            "share": None,
            "longest_seconds": 0.0,
            "longest_start_ms": None,
            "gaps_over_3s": 0,
        }
    gaps: list[tuple[int, int]] = []
    until = spoken[0].start_ms
    for turn in spoken:
        if turn.start_ms > until:
            gaps.append((turn.start_ms - until, until))
        until = max(until, turn.end_ms)
    total = sum(length for length, _ in gaps)
    longest, at = max(gaps, key=lambda gap: gap[0], default=(0, None))
    return {
        "total_seconds": _seconds(total),
        "share": round(total / (until - spoken[0].start_ms), 3),
        "longest_seconds": _seconds(longest),
        "longest_start_ms": at,
        "gaps_over_3s": sum(1 for length, _ in gaps if length > SILENCE_MS),
    }


def _spread(times_ms: list[int]) -> dict[str, Any]:
    """The 95th percentile is the smallest time that 95 % of them do not exceed."""
    if not times_ms:
        return {"count": 0, "median_seconds": None, "p95_seconds": None}
    ordered = sorted(times_ms)
    return {
        "count": len(ordered),
        "median_seconds": _seconds(median(ordered)),
        "p95_seconds": _seconds(ordered[ceil(0.95 * len(ordered)) - 1]),
    }


def _pace(spoken: Iterable[Spoken], role: str, talk_ms: int) -> float | None:
    texts = [turn.text for turn in spoken if turn.speaker == role]
    if not talk_ms or any(_UNSPACED.search(text) for text in texts):
        return None
    return round(sum(len(_WORD.findall(text)) for text in texts) / (talk_ms / 60_000), 1)


def _seconds(milliseconds: float) -> float:
    return round(milliseconds / 1000, 3)
