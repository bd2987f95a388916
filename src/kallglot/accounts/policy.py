"""What an organisation wants kept and for how long, as it lies in ``Organization.policy``.

``{"retention": {"transcripts_days", "recordings_days", "events_days"}, "redaction": {"card_numbers", "patterns"},
"engines": {"recognition": {"de": [names]}, "translation": {"de>en": [names]}, "synthesis": {"de": [names]}}}``; what is
left out is as the server has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_DAYS: Final = 3650
MOST_PATTERNS: Final = 20
LONGEST_PATTERN: Final = 500
LONGEST_REPLACEMENT: Final = 100
LONGEST_NAME: Final = 40

ENGINES: Final = ("recognition", "translation", "synthesis")
RETENTION: Final = ("transcripts_days", "recordings_days", "events_days")


@dataclass(frozen=True, slots=True)
class Retention:
    """Days; None is for ever."""

    transcripts_days: float | None = None
    recordings_days: float | None = None
    events_days: float | None = None


def retention(policy: Mapping[str, Any] | None, default: Retention) -> Retention:
    """What holds for an organisation: its own, else the server's."""
    own: Mapping[str, Any] = (policy or {}).get("retention") or {}
    days = {name: getattr(default, name) if own.get(name) is None else float(own[name]) for name in RETENTION}
    return Retention(**days)


def redaction(policy: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a session is to mask; None where that is nothing."""
    own: Mapping[str, Any] = (policy or {}).get("redaction") or {}
    found = {"card_numbers": bool(own.get("card_numbers")), "patterns": list(own.get("patterns") or ())}
    return found if found["card_numbers"] or found["patterns"] else None


def engines(policy: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The engines it wants asked, in order; None where it leaves that to the operator."""
    own: Mapping[str, Any] = (policy or {}).get("engines") or {}
    return {kind: dict(order) for kind, order in own.items() if order} or None


def shown(policy: Mapping[str, Any] | None) -> dict[str, Any]:
    """As the API shows it: every field, null where the server's default holds."""
    kept = policy or {}
    days: Mapping[str, Any] = kept.get("retention") or {}
    masked: Mapping[str, Any] = kept.get("redaction") or {}
    chosen: Mapping[str, Any] = kept.get("engines") or {}
    return {
        "retention": {name: days.get(name) for name in RETENTION},
        "redaction": {
            "card_numbers": bool(masked.get("card_numbers")),
            "patterns": [dict(one) for one in masked.get("patterns") or ()],
        },
        "engines": {kind: dict(chosen.get(kind) or {}) for kind in ENGINES},
    }


def changed(policy: Mapping[str, Any] | None, changes: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """``changes`` has what was given of each part; None for a part takes it back to the default."""
    kept = {part: dict(fields) for part, fields in shown(policy).items()}
    for part, fields in changes.items():
        kept[part] = {**({} if fields is None else kept[part]), **(fields or {})}
    kept["engines"] = {kind: order for kind, order in kept["engines"].items() if order}
    kept["retention"] = {name: days for name, days in kept["retention"].items() if days is not None}
    return {part: fields for part, fields in kept.items() if fields}
