"""``/v1/usage``: what sessions used, and what became of credits."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError

from kallglot.accounts.credits import CreditEntry
from kallglot.api import views
from kallglot.api.auth import Caller, requires
from kallglot.api.models import Moment
from kallglot.api.openapi import documented
from kallglot.api.services import services
from kallglot.api.sessions import Limit, page_of, utc
from kallglot.billing.usage import GROUPS, LONGEST_DAYS, MOST_ROWS, EngineGroup, Group, UsageFilter, Used, added_up
from kallglot.clock import iso
from kallglot.errors import KallglotError

router = APIRouter(prefix="/v1/usage", tags=["usage"])

_DEFAULT: Final = timedelta(days=30)
_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(Moment)

When = Annotated[
    str | None, Query(max_length=40, description="ISO 8601 with its zone, or a day in UTC: its first moment.")
]
GroupBy = Annotated[
    str, Query(max_length=40, description=f"Any of {', '.join(GROUPS)}, separated by commas; empty for one row.")
]
EntryCursor = Annotated[str | None, Query(max_length=20, pattern=r"^[0-9]+$", description="An id of the list.")]


@router.get("", **documented("get_usage"))
async def get_usage(
    request: Request,
    caller: Caller = requires("admin", "management"),
    start: When = None,
    end: When = None,
    group_by: GroupBy = "day",
) -> dict[str, Any]:
    """What sessions used that ended from ``start`` until before ``end``, and the credits that were spent in that time:
    of the current billing period, or the last 30 days, where neither is given. Test keys see test sessions. ``engines``
    has what each engine did for them, by the same groups."""
    given = services(request)
    groups = _groups(group_by)
    began, until = _span(start, end, caller, given.clock.now())
    where = UsageFilter(caller.organization_id, caller.livemode, began, until, groups)
    async with given.store.read() as unit:
        found = await unit.usage.used(where)
        engines = await unit.usage.engines(where)
    if max(len(found), len(engines)) > MOST_ROWS:
        message = f"group_by: that is more than {MOST_ROWS} rows; ask for less time, or fewer groups."
        raise KallglotError("invalid_field_value", message, param="group_by")
    total = added_up((Group(), used) for _, used in found)
    return {
        "object": "usage",
        "start": iso(began),
        "end": iso(until),
        "livemode": caller.livemode,
        "group_by": list(groups),
        "data": [
            {"day": group.day, "mode": group.mode, "api_key_id": group.api_key_id, **_shown(used)}
            for group, used in found
        ],
        "total": _shown(total[0][1] if total else Used()),
        "engines": [_engine(one) for one in engines],
    }


@router.get("/ledger", **documented("list_credit_entries"))
async def list_entries(
    request: Request,
    caller: Caller = requires("admin", "management"),
    limit: Limit = 20,
    starting_after: EntryCursor = None,
    ending_before: EntryCursor = None,
) -> dict[str, Any]:
    """Every credit that was granted, taken, given back or has expired, newest first. Test keys, which spend none, see
    none."""
    page = page_of(limit, starting_after, ending_before)
    if not caller.livemode:
        for name, cursor in (("starting_after", starting_after), ("ending_before", ending_before)):
            if cursor is not None:
                raise KallglotError("invalid_field_value", f"{name} names no object of this list.", param=name)
        return views.listing("/v1/usage/ledger", [], False)
    async with services(request).store.read() as unit:
        found, more = await unit.ledgers.credits(caller.organization_id, page)
    return views.listing("/v1/usage/ledger", [_entry(one) for one in found], more)


def _groups(given: str) -> tuple[str, ...]:
    asked = [name.strip() for name in given.split(",") if name.strip()]
    unknown = next((name for name in asked if name not in GROUPS), None)
    if unknown is not None:
        message = f'group_by: expected any of {", ".join(GROUPS)}, got "{unknown}".'
        raise KallglotError("invalid_field_value", message, param="group_by")
    return tuple(name for name in GROUPS if name in asked)


def _span(start: str | None, end: str | None, caller: Caller, now: datetime) -> tuple[datetime, datetime]:
    until = _moment(end, "end") or now
    began = _moment(start, "start")
    if began is None:
        period = caller.organization.period_start
        began = until - _DEFAULT if period is None or period >= until or end is not None else period
        began = max(began, until - timedelta(days=LONGEST_DAYS))
    if began >= until:
        message = f"end: expected a time after start, {iso(began)}, got {iso(until)}."
        raise KallglotError("invalid_field_value", message, param="end")
    if until - began > timedelta(days=LONGEST_DAYS):
        message = f"start: expected at most {LONGEST_DAYS} days before end."
        raise KallglotError("invalid_field_value", message, param="start")
    return began, until


def _moment(given: str | None, name: str) -> datetime | None:
    if given is None:
        return None
    try:
        if len(given) == len("2026-03-26"):
            found: datetime | None = datetime.combine(date.fromisoformat(given), time(), UTC)
        else:
            found = utc(_MOMENT.validate_python(given), name)
    except (ValueError, ValidationError):
        message = f'{name}: expected a time like 2026-03-26T11:00:00Z, or a day like 2026-03-26, got "{given}".'
        raise KallglotError("invalid_field_value", message, param=name) from None
    if found is not None and found.year <= 2:
        raise KallglotError("invalid_field_value", f"{name}: expected a later year.", param=name)
    return found


def _shown(used: Used) -> dict[str, Any]:
    """Seconds are exact to the millisecond; minutes are those seconds by 60, for reading."""
    return {
        "sessions": used.sessions,
        "session_seconds": used.session_ms / 1000,
        "translation_seconds": used.translation_ms / 1000,
        "ai_agent_seconds": used.ai_agent_ms / 1000,
        "session_minutes": round(used.session_ms / 60_000, 3),
        "translation_minutes": round(used.translation_ms / 60_000, 3),
        "ai_agent_minutes": round(used.ai_agent_ms / 60_000, 3),
        "credits_used": used.credits,
    }


def _engine(one: EngineGroup) -> dict[str, Any]:
    group = one.group
    return {
        "day": group.day,
        "mode": group.mode,
        "api_key_id": group.api_key_id,
        "kind": one.kind,
        "engine": one.engine,
        "sessions": one.sessions,
        "seconds": one.audio_ms / 1000,
        "characters": one.characters,
    }


def _entry(one: CreditEntry) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "object": "credit_entry",
        "amount": one.amount,
        "reason": one.reason,
        "reference": one.reference,
        "balance_after": one.balance_after,
        "mode": one.mode,
        "api_key_id": one.api_key_id,
        "created_at": iso(one.created_at),
    }
