"""Rows to values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from kallglot.accounts.model import ApiKey, Organization
from kallglot.session.model import Participant, Session, Translation, Turn, Usage
from kallglot.session.timings import Listened, TurnTimes
from kallglot.speech.used import EngineUse

Row = Mapping[Any, Any]

_USAGE = ("session_seconds", "translation_seconds", "ai_agent_seconds")


_SECRET = ("webhook_secret", "previous_webhook_secret", "previous_webhook_secret_until")


def organization(row: Row) -> Organization:
    return Organization(**{name: value for name, value in row.items() if name not in _SECRET})


def api_key(row: Row) -> ApiKey:
    values = dict(row)
    values["scopes"] = tuple(values["scopes"])
    return ApiKey(**values)


def api_key_row(key: ApiKey) -> dict[str, Any]:
    return {**asdict(key), "scopes": list(key.scopes)}


def session(row: Row) -> Session:
    values = dict(row)
    seconds = [values.pop(name) for name in _USAGE]
    values["participants"] = tuple(Participant(**participant) for participant in values["participants"])
    values["usage"] = None if seconds[0] is None else Usage(*seconds)
    return Session(**values)


def session_row(one: Session) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in one.__dataclass_fields__}
    usage = values.pop("usage")
    values |= dict.fromkeys(_USAGE) if usage is None else asdict(usage)
    values["participants"] = participants(one.participants)
    return {name: dict(cast(Row, value)) if isinstance(value, Mapping) else value for name, value in values.items()}


def participants(some: tuple[Participant, ...] | list[Participant]) -> list[dict[str, Any]]:
    return [asdict(participant) for participant in some]


def turn(row: Row) -> Turn:
    values = dict(row)
    values["translations"] = tuple(Translation(**translation) for translation in values["translations"])
    values["engines"] = tuple(EngineUse(**use) for use in values["engines"] or ())
    return Turn(**values)


def turn_row(one: Turn) -> dict[str, Any]:
    return {
        **asdict(one),
        "translations": [asdict(translation) for translation in one.translations],
        "engines": uses(one.engines),
    }


def uses(some: tuple[EngineUse, ...]) -> list[dict[str, Any]] | None:
    return [asdict(use) for use in some] or None


def times(document: Row) -> TurnTimes:
    values = dict(document)
    values["listeners"] = tuple(Listened(**one) for one in values["listeners"])
    return TurnTimes(**values)


def times_row(one: TurnTimes) -> dict[str, Any]:
    return {"turn_id": one.turn_id, "session_id": one.session_id, "times": asdict(one)}
