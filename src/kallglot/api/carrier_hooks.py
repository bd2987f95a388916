"""Where carriers ask what to do with a call, and tell what has become of it. Each request has to be signed by the
connection that its address names; an unsigned one learns nothing."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.responses import Response

from kallglot.api.calls import exchange_of
from kallglot.api.inbound import NoSession, session_for
from kallglot.api.services import ApiServices, services
from kallglot.carriers import documents
from kallglot.carriers.callbacks import (
    CallChange,
    Incoming,
    telnyx_event,
    telnyx_texml_status,
    twilio_amd,
    twilio_status,
)
from kallglot.carriers.client import CarrierError
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.notices import changes
from kallglot.carriers.signatures import check_telnyx, check_twilio
from kallglot.errors import KallglotError
from kallglot.ids import CALL, new_id
from kallglot.session.model import EndReason, Session
from kallglot.texts import cleaned

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/carriers", include_in_schema=False)

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_MOST_FIELDS: Final = 300
_LONGEST_SID: Final = 200
_LONGEST: Final = 500
_HANGUP_REASONS: Final[dict[str, EndReason]] = {"customer": "customer_hangup", "agent": "agent_hangup"}


@router.post("/{carrier}/{connection_id}/voice")
async def voice(request: Request, carrier: str, connection_id: str) -> Response:
    """A call comes in. Asked twice, as carriers do, it is answered twice with the same session."""
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    call_sid = form.get("CallSid", "")
    if not 0 < len(call_sid) <= _LONGEST_SID:
        raise KallglotError("missing_required_field", "CallSid is required.", param="CallSid")
    known = await exchange_of(given).calls.by_carrier_id(connection.carrier, call_sid)
    if known is None:
        incoming = Incoming(call_sid, None, form.get("From"), form.get("To"))
        try:
            # A call that TeXML answers is controlled by TeXML too, where we know the account.
            by_texml = connection.carrier == "telnyx" and connection.settings.get("account_sid")
            known = await _received(given, connection, incoming, "texml" if by_texml else None)
        except NoSession as refusal:
            log.warning("connection %s: a call is not taken: %s", connection.id, refusal)
            return _document(documents.reject(connection.carrier, "busy" if refusal.busy else "rejected"))
    return await _next(given, connection, known)


@router.post("/{carrier}/{connection_id}/status")
async def status(request: Request, carrier: str, connection_id: str) -> Response:
    """What becomes of calls to the connection's numbers."""
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    change = telnyx_texml_status(form) if connection.carrier == "telnyx" else twilio_status(form)
    call = await exchange_of(given).calls.by_carrier_id(connection.carrier, change.carrier_call_id)
    if call is not None and call.connection_id == connection.id:
        await _told(given, call, change)
    return Response(status_code=204)


@router.post("/telnyx/{connection_id}/events")
async def telnyx_events(request: Request, connection_id: str) -> Response:
    """Call Control's webhooks."""
    given = services(request)
    connection, body = await _authentic(request, given, "telnyx", connection_id)
    try:
        event = telnyx_event(json.loads(body))
    except (ValueError, RecursionError):
        raise KallglotError("invalid_json", "The body is not JSON.") from None
    if isinstance(event, Incoming):
        await _answered(given, connection, event)
    elif event is not None:
        await _followed(given, connection, event)
    return Response(status_code=200)


@router.post("/{carrier}/{connection_id}/calls/{call_id}/stream")
async def stream(request: Request, carrier: str, connection_id: str, call_id: str) -> Response:
    """Somebody has picked up, or a stream has ended: what comes next. The call's audio (again), while its session is
    on; else the end."""
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    call = await _call(given, connection, call_id)
    if not call.over:
        call = await exchange_of(given).told(call, twilio_status(form)) or call
    return await _next(given, connection, call)


@router.post("/{carrier}/{connection_id}/calls/{call_id}/status")
async def call_status(request: Request, carrier: str, connection_id: str, call_id: str) -> Response:
    """What becomes of a call that we placed."""
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    await _told(given, await _call(given, connection, call_id), twilio_status(form))
    return Response(status_code=204)


@router.post("/{carrier}/{connection_id}/calls/{call_id}/amd")
async def machine_detected(request: Request, carrier: str, connection_id: str, call_id: str) -> Response:
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    await _told(given, await _call(given, connection, call_id), twilio_amd(form))
    return Response(status_code=204)


@router.post("/{carrier}/{connection_id}/calls/{call_id}/transferred")
async def transferred(request: Request, carrier: str, connection_id: str, call_id: str) -> Response:
    """A transfer is over, or has failed."""
    given = services(request)
    connection, form = await _asked(request, given, carrier, connection_id)
    call = await _call(given, connection, call_id)
    if await _session_over(given, call):
        return _document(documents.hang_up(connection.carrier))
    return _document(await exchange_of(given).transferred(call, form.get("DialCallStatus", "")))


# Inside


async def _authentic(
    request: Request, given: ApiServices, carrier: str, connection_id: str
) -> tuple[Connection, bytes]:
    """Raises ``connection_not_found`` for what names no active connection or is not signed by it."""
    connection = await exchange_of(given).calls.connection(connection_id) if _ID.fullmatch(connection_id) else None
    body = await request.body()
    # A test key's connection reaches no carrier, and none reaches it.
    if connection is not None and connection.livemode and connection.active and connection.carrier == carrier:
        headers = dict(request.headers)
        if carrier == "telnyx":
            genuine = check_telnyx(connection, body, headers, given.clock.now())
        else:
            query = f"?{request.url.query}" if request.url.query else ""
            genuine = check_twilio(connection, f"{given.base_url}{request.url.path}{query}", body, headers)
        if genuine:
            return connection, body
        log.warning("connection %s: a request has no good signature", connection.id)
    raise KallglotError("connection_not_found", "There is no such connection, or the request is not signed by it.")


async def _asked(
    request: Request, given: ApiServices, carrier: str, connection_id: str
) -> tuple[Connection, dict[str, str]]:
    connection, body = await _authentic(request, given, carrier, connection_id)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise KallglotError("unprocessable", "The body is not a form.") from None
    return connection, {name: cleaned(value)[:_LONGEST] for name, value in pairs}


async def _call(given: ApiServices, connection: Connection, call_id: str) -> Call:
    found = await exchange_of(given).calls.get(call_id) if _ID.fullmatch(call_id) else None
    if found is None or found.connection_id != connection.id:
        raise KallglotError("call_not_found", "There is no such call.")
    return found


async def _received(given: ApiServices, connection: Connection, incoming: Incoming, product: str | None = None) -> Call:
    """The call with its session, new or as somebody else has made them meanwhile. Raises :class:`NoSession`."""
    now = given.clock.now()

    def made(session: Session) -> Call:
        return _inbound(connection, incoming, session.id, now, product)

    return await session_for(given, exchange_of(given), connection, incoming, made, changes)


def _inbound(
    connection: Connection, incoming: Incoming, session_id: str, now: datetime, product: str | None = None
) -> Call:
    return Call(
        id=new_id(CALL),
        session_id=session_id,
        organization_id=connection.organization_id,
        livemode=connection.livemode,
        carrier=connection.carrier,
        direction="inbound",
        status="ringing",
        created_at=now,
        connection_id=connection.id,
        carrier_call_id=incoming.carrier_call_id,
        from_=incoming.from_,
        to=incoming.to,
        details={"managed": True, **({} if product is None else {"product": product})},
    )


async def _answered(given: ApiServices, connection: Connection, incoming: Incoming) -> None:
    exchange = exchange_of(given)
    call = await exchange.calls.by_carrier_id("telnyx", incoming.carrier_call_id)
    try:
        call = call or await _received(given, connection, incoming)
        if call.connection_id == connection.id and not call.over and not await _session_over(given, call):
            await exchange.answer(call)
    except NoSession as refusal:
        log.warning("connection %s: a call is not taken: %s", connection.id, refusal)
        try:
            await exchange.reject(connection, incoming.carrier_call_id, busy=refusal.busy)
        except CarrierError as error:
            _passed_on(error)
    except CarrierError as error:
        _passed_on(error)


def _passed_on(error: CarrierError) -> None:
    """Telnyx asks again for what was not answered with 2xx; for a call that is gone it need not."""
    if not error.gone:
        raise KallglotError("carrier_error", error.message) from None


async def _followed(given: ApiServices, connection: Connection, change: CallChange) -> None:
    exchange = exchange_of(given)
    call = await exchange.calls.by_carrier_id("telnyx", change.carrier_call_id)
    if call is None and (transferred := change.state.get("transfer")) is not None:
        await _transfer_leg(given, connection, transferred, change)
        return
    if call is None and (named := change.state.get("call_id")) is not None:
        call = await exchange.calls.get(named) if _ID.fullmatch(named) else None
    if call is not None and call.connection_id == connection.id:
        await _told(given, call, change)


async def _transfer_leg(given: ApiServices, connection: Connection, call_id: str, change: CallChange) -> None:
    """The other end of a call's transfer: while it was not answered, its end is the transfer's failure."""
    exchange = exchange_of(given)
    call = await exchange.calls.get(call_id) if _ID.fullmatch(call_id) else None
    if call is None or call.connection_id != connection.id:
        return
    transfer: Any = call.details.get("transfer") or {}
    if transfer.get("status") != "started":
        return
    if change.status == "in_progress":
        await exchange.transferred(call, "answered")
    elif replace(call, status=change.status or call.status).over:
        if not call.over and not await _session_over(given, call):
            try:
                await exchange.restream(call)
            except CarrierError as error:
                _passed_on(error)
        await exchange.transferred(call, change.hangup_cause or "failed")


async def _told(given: ApiServices, call: Call, change: CallChange) -> None:
    after = await exchange_of(given).told(call, change)
    if after is None or call.over or not after.over or not after.details.get("managed"):
        return
    # The call made the session, and nobody else is on the telephone: the conversation is over.
    others = [one for one in await exchange_of(given).calls.of_session(after.session_id) if not one.over]
    if others:
        return
    async with given.store.read() as unit:
        session = await unit.sessions.get(after.session_id, after.organization_id, after.livemode)
    if session is not None:
        role = next((one.role for one in session.participants if one.id == after.participant_id), "customer")
        given.sessions.end_soon(session, _HANGUP_REASONS[role])


async def _next(given: ApiServices, connection: Connection, call: Call) -> Response:
    if call.connection_id != connection.id or call.over or await _session_over(given, call):
        return _document(documents.hang_up(connection.carrier))
    return _document(exchange_of(given).stream_document(call))


async def _session_over(given: ApiServices, call: Call) -> bool:
    async with given.store.read() as unit:
        session = await unit.sessions.get(call.session_id, call.organization_id, call.livemode)
    return session is None or session.status in ("ending", "ended")


def _document(text: str) -> Response:
    return Response(text, media_type="text/xml")
