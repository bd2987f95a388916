"""``/v1/sessions/{id}/timings``: when each turn was spoken, recognised, translated and heard."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from fastapi import APIRouter, Request

from kallglot.api.auth import Caller, requires
from kallglot.api.openapi import documented
from kallglot.api.services import services
from kallglot.api.sessions import find
from kallglot.session.timings import Listened, TurnTimes

router = APIRouter(prefix="/v1/sessions", tags=["transcripts"])


@router.get("/{session_id}/timings", **documented("get_timings"))
async def get(
    request: Request, session_id: str, caller: Caller = requires("sessions:read", "sessions_read")
) -> dict[str, Any]:
    """Turns that have been heard, and the lags over all of them. Milliseconds count from the session's beginning."""
    given = services(request)
    await find(given, caller, session_id)
    async with given.store.read() as unit:
        times = await unit.turns.timings(session_id)
    return as_object(session_id, times)


def as_object(session_id: str, times: Sequence[TurnTimes]) -> dict[str, Any]:
    return {
        "object": "session.timings",
        "session_id": session_id,
        "turns": [_turn(one) for one in times],
        "lags": summary(times),
    }


def summary(times: Sequence[TurnTimes]) -> dict[str, dict[str, float]]:
    """Seconds: median, 95th percentile and most of each stage that there was."""
    stages: dict[str, list[float]] = {}
    for one in times:
        for stage, seconds in one.lags().items():
            stages.setdefault(stage, []).append(seconds)
    return {
        stage: {
            "median": round(median(values), 3),
            "p95": sorted(values)[min(len(values) - 1, int(len(values) * 0.95))],
            "max": max(values),
        }
        for stage, values in stages.items()
    }


def _turn(one: TurnTimes) -> dict[str, Any]:
    return {
        "turn_id": one.turn_id,
        "speech_start_ms": one.speech_start_ms,
        "speech_end_ms": one.speech_end_ms,
        "first_partial_ms": one.first_partial_ms,
        "committed_ms": one.committed_ms,
        "translated_ms": one.translated_ms,
        "final_ms": one.final_ms,
        "first_audio_ms": one.first_audio_ms,
        "heard_ms": one.heard_ms,
        "listeners": [_listener(listener) for listener in one.listeners],
    }


def _listener(one: Listened) -> dict[str, Any]:
    return {
        "participant_id": one.participant_id,
        "listener": one.listener,
        "language": one.language,
        "first_audio_ms": one.first_audio_ms,
        "heard_ms": one.heard_ms,
        "cleared": one.cleared,
    }
