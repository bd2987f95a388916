"""What customers are told of sessions, transcripts and recordings: events, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kallglot.api import views
from kallglot.carriers.model import Call
from kallglot.ids import EVENT, new_id
from kallglot.outbox import Event
from kallglot.recording.model import Recording
from kallglot.session.model import Session, Turn


def session_created(session: Session) -> Event:
    return _of(session, "session.created", views.session_object(session), session.created_at)


def session_started(session: Session, newest: Call | None, now: datetime) -> Event:
    return _of(session, "session.started", views.session_object(session, newest), now)


def session_ended(session: Session, newest: Call | None, turns: Sequence[Turn], now: datetime) -> list[Event]:
    """Of a session that was never heard there is no transcript to be told of."""
    view = views.session_object(session, newest)
    # The documented sample of this event has ``duration`` where the object has ``duration_seconds``.
    told = [_of(session, "session.ended", {**view, "duration": session.duration_seconds}, now)]
    if session.started_at is not None:
        seconds = session.duration_seconds or 0.0
        ready = views.transcript(session, list(turns), include_translations=True, seconds=seconds)
        told.append(_of(session, "transcript.ready", {**ready, "turns": None}, now))
    return told


def transcript_segment(turn: Turn, organization_id: str, livemode: bool) -> Event:
    data = {"object": "transcript.segment", "session_id": turn.session_id, **views.turn_object(turn)}
    return Event(
        new_id(EVENT), organization_id, livemode, turn.session_id, "transcript.segment", {"data": data}, turn.created_at
    )


def recording_done(recording: Recording, now: datetime) -> Event | None:
    """None while it is being processed."""
    kind = {"ready": "recording.ready", "failed": "recording.failed"}.get(recording.status)
    return None if kind is None else _of(recording, kind, views.recording(recording), now)


def _of(about: Session | Recording, kind: str, data: Mapping[str, Any], now: datetime) -> Event:
    session_id = about.id if isinstance(about, Session) else about.session_id
    return Event(new_id(EVENT), about.organization_id, about.livemode, session_id, kind, {"data": dict(data)}, now)
