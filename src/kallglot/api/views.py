"""Objects as clients see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from kallglot.accounts import policy
from kallglot.accounts.audit import AuditEntry
from kallglot.accounts.model import ApiKey, Organization, PhoneNumber
from kallglot.api import compat
from kallglot.api.services import ApiServices
from kallglot.carriers import notices
from kallglot.carriers.model import Call, Connection
from kallglot.clock import iso
from kallglot.ids import transcript_id
from kallglot.outbox import Event
from kallglot.recording.model import BIT_DEPTH, DEFAULT_FORMAT, Recording
from kallglot.session.model import Session, Turn
from kallglot.webhooks.model import envelope

_CONNECTION_SETTINGS: Final = (
    "account_sid",
    "api_key_sid",
    "region",
    "edge",
    "public_key",
    "call_control_app_id",
    "texml_app_id",
)
_CONNECTION_SECRETS: Final = ("auth_token", "previous_auth_token", "api_key_secret", "api_key")


def session(one: Session, given: ApiServices, newest: Call | None = None) -> dict[str, Any]:
    """``newest`` is the last of its telephone calls."""
    view = session_object(one, newest)
    if one.status not in ("ending", "ended"):
        token, expires_at = given.tokens.issue(one.id, one.livemode)
        url = f"{given.stream_base_url}/v1/sessions/{one.id}/connect"
        view["stream"] = {"url": url, "token": token, "expires_at": iso(expires_at)}
    if given.sip_domain and one.carrier == "sip":
        view["sip_uri"] = f"sip:{one.id}@{given.sip_domain}"
    return view


def session_object(one: Session, newest: Call | None = None) -> dict[str, Any]:
    """Without what lets its reader in: as events carry it."""
    view: dict[str, Any] = {
        "id": one.id,
        "object": "session",
        "status": one.status,
        "mode": one.mode,
        "provider": one.carrier,
        "phone_number": one.phone_number,
        "call": None if newest is None else notices.view(newest),
        "source_language": one.source_language,
        "target_language": one.target_language,
        "participants": [
            {name: getattr(participant, name) for name in ("id", "role", "language", "name")}
            for participant in one.participants
        ],
        "stream": None,
        "sip_uri": None,
        "routing": _plain(one.routing),
        "voice": _plain(one.voice),
        "recording": _plain(one.recording),
        "transcription": _plain(one.transcription),
        "translation": _plain(one.translation),
        "ai_agent": _plain(one.ai_agent),
        "engines": _plain(one.engines),
        "webhook_url": one.webhook_url,
        "metadata": _plain(one.metadata),
        "livemode": one.livemode,
        "created_at": iso(one.created_at),
        "started_at": None if one.started_at is None else iso(one.started_at),
        "ended_at": None if one.ended_at is None else iso(one.ended_at),
        "end_reason": one.end_reason,
        "duration_seconds": one.duration_seconds,
        "usage": None if one.usage is None else asdict(one.usage),
    }
    return compat.answered(one, view)


def session_ended(one: Session) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "session",
        "status": one.status,
        "duration_seconds": one.duration_seconds,
        "ended_at": None if one.ended_at is None else iso(one.ended_at),
        "end_reason": one.end_reason,
    }


def transcript(one: Session, turns: list[Turn], *, include_translations: bool, seconds: float) -> dict[str, Any]:
    languages: list[str] = []
    for turn in turns:
        if turn.language is not None and turn.language not in languages:
            languages.append(turn.language)
    return {
        "id": transcript_id(one.id),
        "object": "transcript",
        "session_id": one.id,
        "status": "completed" if one.status == "ended" else "in_progress",
        "turns": [{**turn_object(turn, include_translations), "engines": engines_of(turn)} for turn in turns],
        "metadata": {"total_turns": len(turns), "duration_seconds": seconds, "languages_detected": languages},
    }


def recording(one: Recording) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "recording",
        "session_id": one.session_id,
        "channel": one.channel,
        "channels": one.channels,
        "status": one.status,
        "format": DEFAULT_FORMAT,
        "duration": one.duration_seconds,
        "size": one.size,
        "sample_rate": one.sample_rate_hz,
        "bit_depth": BIT_DEPTH,
        "download_url": f"/v1/recordings/{one.id}/audio" if one.status == "ready" else None,
        "created_at": iso(one.created_at),
        "expires_at": None if one.expires_at is None else iso(one.expires_at),
    }


def turn_object(turn: Turn, include_translations: bool = True) -> dict[str, Any]:
    translations = [asdict(translation) for translation in turn.translations] if include_translations else []
    return {
        "sequence": turn.sequence,
        "id": turn.id,
        "speaker": turn.speaker,
        "participant_id": turn.participant_id,
        "language": turn.language,
        "text": turn.text,
        "translation": translations[0] if translations else None,
        "translations": translations,
        "confidence": turn.confidence,
        "start_ms": turn.start_ms,
        "end_ms": turn.end_ms,
        "timestamp": iso(turn.created_at),
    }


def engines_of(turn: Turn) -> list[dict[str, Any]]:
    """Who recognised, translated and spoke it; seconds of audio, characters of text."""
    return [
        {
            "kind": use.kind,
            "engine": use.engine,
            "language": use.language,
            "seconds": use.audio_ms / 1000,
            "characters": use.characters,
        }
        for use in turn.engines
    ]


def organization(one: Organization) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "organization",
        "name": one.name,
        "status": one.status,
        "plan": one.plan,
        "credits_remaining": one.credits_remaining,
        "credits_used": one.credits_used,
        "plan_credits": one.plan_credits,
        "period_start": None if one.period_start is None else iso(one.period_start),
        "period_end": None if one.period_end is None else iso(one.period_end),
        "subscription": one.subscription,
        "created_at": iso(one.created_at),
        **policy.shown(one.policy),
    }


def api_key(one: ApiKey, secret: str | None = None) -> dict[str, Any]:
    """``secret`` is there in the answer that creates the key, and never again."""
    return {
        "id": one.id,
        "object": "api_key",
        "name": one.name,
        "livemode": one.livemode,
        "scopes": list(one.scopes),
        "hint": one.hint,
        "secret": secret,
        "created_at": iso(one.created_at),
        "expires_at": None if one.expires_at is None else iso(one.expires_at),
        "revoked_at": None if one.revoked_at is None else iso(one.revoked_at),
        "last_used_at": None if one.last_used_at is None else iso(one.last_used_at),
        "replaced_by": one.replaced_by,
    }


def audit_entry(one: AuditEntry) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "audit_entry",
        "actor": {"type": one.actor_type, "id": one.actor},
        "action": one.action,
        "target": one.target,
        "details": dict(one.details),
        "request_id": one.request_id,
        "created_at": iso(one.created_at),
    }


def connection(one: Connection, given: ApiServices) -> dict[str, Any]:
    """The same fields for every carrier; of secrets only whether they are there."""
    address = f"{given.base_url}/v1/carriers/{one.carrier}/{one.id}"
    return {
        "id": one.id,
        "object": "connection",
        "carrier": one.carrier,
        "name": one.name,
        "active": one.active,
        "default": one.default,
        "livemode": one.livemode,
        **{name: one.settings.get(name) for name in _CONNECTION_SETTINGS},
        "require_signature": one.settings.get("require_signature", True),
        **{f"{name}_set": name in one.secrets for name in _CONNECTION_SECRETS},
        "shared_keys": sorted(one.secrets.get("shared_keys", {})),
        "voice_url": f"{address}/voice",
        "status_url": f"{address}/status",
        "webhook_url": f"{address}/events" if one.carrier == "telnyx" else None,
        "created_at": iso(one.created_at),
    }


def phone_number(one: PhoneNumber) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "phone_number",
        "number": one.number,
        "carrier": one.carrier,
        "connection_id": one.connection_id,
        "label": one.label,
        "policy": _plain(one.policy),
        "active": one.active,
        "livemode": one.livemode,
        "created_at": iso(one.created_at),
    }


def event(one: Event) -> dict[str, Any]:
    return dict(envelope(one))


def listing(url: str, data: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    return {"object": "list", "url": url, "has_more": has_more, "data": data}


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)
