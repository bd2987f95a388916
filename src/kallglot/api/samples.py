"""Events with sample data, one of each type, made by what makes the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from kallglot.analysis.model import Analysis
from kallglot.analysis.notices import view as analysis_view
from kallglot.api import news
from kallglot.carriers import notices
from kallglot.carriers.model import Call
from kallglot.clock import iso
from kallglot.ids import EVENT, new_id
from kallglot.outbox import Event
from kallglot.recording.model import Recording
from kallglot.session.model import Participant, Session, Translation, Turn, Usage
from kallglot.webhooks.model import EVERYTHING, Endpoint, told_of_disabled

_SESSION: Final = "sess_sample"
_CUSTOMER: Final = "part_sample_customer"
_SECONDS: Final = 245.3


def event(type: str, organization_id: str, livemode: bool, now: datetime) -> Event:
    """It belongs to no session that there is, and has ``"test": true`` beside its data. Raises ``KeyError`` for a type
    that there is not."""
    owner = (organization_id, livemode)
    found = {one.type: one for one in (*_session(*owner, now), *_calls(*owner, now), *_rest(*owner, now))}[type]
    return replace(found, session_id=None, created_at=now, body={**found.body, "test": True})


def _session(organization_id: str, livemode: bool, now: datetime) -> list[Event]:
    began = now - timedelta(seconds=_SECONDS)
    created = Session(
        _SESSION,
        organization_id,
        livemode,
        "created",
        "bidirectional_translation",
        (Participant(_CUSTOMER, "customer", "de"), Participant("part_sample_agent", "agent", "en")),
        began - timedelta(seconds=3),
        source_language="de",
        target_language="en",
        carrier="twilio",
        phone_number="+14155550100",
        recording={"enabled": True, "channels": "dual"},
        transcription={"partials": True, "terms": [], "profanity_filter": False},
        translation={"glossary": [], "original_audio": "mute", "formality": None},
        metadata={"sample": "true"},
    )
    started = replace(created, status="active", started_at=began)
    usage = Usage(_SECONDS, 61.2, 0.0)
    ended = replace(started, status="ended", ended_at=now, end_reason="completed", usage=usage)
    turn = Turn(
        "turn_sample",
        _SESSION,
        1,
        _CUSTOMER,
        "customer",
        "de",
        "Ich möchte meine Bestellung ändern.",
        1240,
        3120,
        began + timedelta(seconds=3.12),
        translations=(Translation("en", "I would like to change my order."),),
    )
    call = _call(organization_id, livemode, now)
    active = replace(call, status="in_progress", ended_at=None, hangup_cause=None)
    return [
        news.session_created(created),
        news.session_started(started, active, began),
        *news.session_ended(ended, call, [turn], now),
        news.transcript_segment(turn, organization_id, livemode),
    ]


def _call(organization_id: str, livemode: bool, now: datetime) -> Call:
    return Call(
        "call_sample",
        _SESSION,
        organization_id,
        livemode,
        "twilio",
        "inbound",
        "completed",
        now - timedelta(seconds=_SECONDS + 2),
        connection_id="pcon_sample",
        carrier_call_id="CA" + "0" * 32,
        from_="+4930901820",
        to="+14155550100",
        participant_id=_CUSTOMER,
        answered_at=now - timedelta(seconds=_SECONDS),
        ended_at=now,
        hangup_cause="completed",
    )


def _calls(organization_id: str, livemode: bool, now: datetime) -> list[Event]:
    over = _call(organization_id, livemode, now)
    begun = replace(over, status="ringing", answered_at=None, ended_at=None, hangup_cause=None)
    stages = (
        begun,
        replace(begun, status="in_progress", answered_at=over.answered_at),
        over,
        replace(begun, status="busy", ended_at=now, hangup_cause="busy"),
    )
    return [one for stage in stages for one in notices.changes(None, stage, now)]


def _rest(organization_id: str, livemode: bool, now: datetime) -> Sequence[Event]:
    recording = Recording(
        "rec_sample",
        _SESSION,
        organization_id,
        livemode,
        "mixed",
        "ready",
        2,
        now - timedelta(seconds=_SECONDS),
        duration_seconds=_SECONDS,
        size=735_900,
        sample_rate_hz=8000,
        expires_at=now + timedelta(days=30),
    )
    lost = replace(recording, status="failed", duration_seconds=None, size=None, sample_rate_hz=None, expires_at=None)
    told = [news.recording_done(one, now) for one in (recording, lost)]
    endpoint = Endpoint("wh_sample", organization_id, livemode, "https://example.com/hooks", (EVERYTHING,), now)
    return [
        *(one for one in told if one is not None),
        *_analysed(organization_id, livemode, now),
        _handed_off(organization_id, livemode, now),
        told_of_disabled(endpoint, "failing", now),
    ]


def _analysed(organization_id: str, livemode: bool, now: datetime) -> list[Event]:
    made = Analysis(
        "anl_sample",
        _SESSION,
        organization_id,
        livemode,
        "completed",
        "default",
        ("summary", "sentiment"),
        now - timedelta(seconds=4),
        result={
            "summary": "The customer asked to change an order; the agent changed it.",
            "sentiment": {"customer": "calm", "agent": "friendly"},
            "engine": "extractive",
        },
        completed_at=now,
    )
    done = analysis_view(made)
    failed = analysis_view(replace(made, status="failed", result=None, error="The language model refused."))
    return [
        _made("analysis.complete", done, organization_id, livemode, now),
        _made("analysis.failed", failed, organization_id, livemode, now),
    ]


def _handed_off(organization_id: str, livemode: bool, now: datetime) -> Event:
    data = {
        "object": "agent.handoff",
        "session_id": _SESSION,
        "participant_id": "part_sample_agent",
        "reason": "The customer asked for a person.",
        "at": iso(now),
    }
    return _made("agent.handoff", data, organization_id, livemode, now)


def _made(type: str, data: dict[str, Any], organization_id: str, livemode: bool, now: datetime) -> Event:
    return Event(new_id(EVENT), organization_id, livemode, None, type, {"data": data}, now)
