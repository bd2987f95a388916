"""``/v1/calls`` and the calls of a session: place, look at, control."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response
from ulid import ULID

from kallglot.api.auth import Caller, requires
from kallglot.api.body import parse, read_json
from kallglot.api.call_models import Dial, SendDigits, Transfer
from kallglot.api.idempotency import Finish
from kallglot.api.models import Request as Body
from kallglot.api.openapi import documented
from kallglot.api.services import ApiServices, services
from kallglot.api.sessions import find
from kallglot.api.views import listing
from kallglot.carriers.client import CarrierError
from kallglot.carriers.exchange import CallOver, Exchange
from kallglot.carriers.model import Call, Carrier
from kallglot.carriers.notices import view
from kallglot.errors import KallglotError
from kallglot.ids import CALL, new_id
from kallglot.session.model import Participant, Session

router = APIRouter(tags=["calls"])

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_INVALID_NUMBER: Final = frozenset(("21211", "21217", "21401", "10016"))


@router.post("/v1/sessions/{session_id}/dial", status_code=202, **documented("dial"))
async def dial(
    request: Request, session_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Calls somebody into the session."""
    given = services(request)
    body = await read_json(request)
    asked = parse(Dial, body)
    session = await find(given, caller, session_id)

    async def work(finish: Finish) -> tuple[int, bytes]:
        call = await _order(given, session, asked, _call_id(request, body))
        return await _placed(given, call, finish)

    return await given.idempotency.run(request, caller.key, body, work)


@router.get("/v1/sessions/{session_id}/calls", **documented("list_session_calls"))
async def of_session(
    request: Request, session_id: str, caller: Caller = requires("sessions:read", "sessions_read")
) -> dict[str, Any]:
    """The session's calls, newest first."""
    given = services(request)
    session = await find(given, caller, session_id)
    async with given.store.read() as unit:
        found = await unit.calls.of_session(session.id)
    return listing(f"/v1/sessions/{session.id}/calls", [view(call) for call in reversed(found)], False)


@router.get("/v1/calls/{call_id}", **documented("get_call"))
async def get(
    request: Request, call_id: str, caller: Caller = requires("sessions:read", "sessions_read")
) -> dict[str, Any]:
    return view(await _find(services(request), caller, call_id))


@router.post("/v1/calls/{call_id}/hangup", **documented("hang_up_call"))
async def hang_up(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Ends a call. Ending an ended one answers with it."""
    return await _controlled(request, call_id, caller, lambda exchange, call: exchange.hang_up(call))


@router.post("/v1/calls/{call_id}/hold", **documented("hold_call"))
async def hold(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Who is on the call hears music, and is not heard; the connection stays."""
    return await _controlled(request, call_id, caller, lambda exchange, call: exchange.hold(call, True))


@router.post("/v1/calls/{call_id}/unhold", **documented("unhold_call"))
async def unhold(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    return await _controlled(request, call_id, caller, lambda exchange, call: exchange.hold(call, False))


@router.post("/v1/calls/{call_id}/mute", **documented("mute_call"))
async def mute(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Who is on the call is not heard, transcribed or recorded."""
    return await _controlled(request, call_id, caller, lambda exchange, call: exchange.mute(call, True))


@router.post("/v1/calls/{call_id}/unmute", **documented("unmute_call"))
async def unmute(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    return await _controlled(request, call_id, caller, lambda exchange, call: exchange.mute(call, False))


@router.post("/v1/calls/{call_id}/dtmf", **documented("send_digits"))
async def digits(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Sends digits; ``w`` waits for half a second, ``W`` for a second."""
    body = await read_json(request)
    asked = parse(SendDigits, body)
    return await _controlled(
        request, call_id, caller, lambda exchange, call: exchange.send_digits(call, asked.digits), body
    )


@router.post("/v1/calls/{call_id}/transfer", **documented("transfer_call"))
async def transfer(
    request: Request, call_id: str, caller: Caller = requires("sessions:write", "sessions_write")
) -> Response:
    """Connects who is on the call with somebody else. Where that fails, they are back in the session."""
    body = await read_json(request)
    asked = parse(Transfer, body)
    if asked.type == "blind":
        return await _controlled(
            request,
            call_id,
            caller,
            lambda exchange, call: exchange.transfer(
                call, asked.to, from_=asked.from_, timeout_seconds=asked.timeout_seconds
            ),
            body,
        )
    given = services(request)
    call = await _find(given, caller, call_id)
    if call.status != "in_progress":
        raise _not_active()
    session = await find(given, caller, call.session_id)
    second = Dial.model_validate(
        {
            "to": asked.to,
            "from": asked.from_,
            "participant": call.participant_id,
            "timeout_seconds": asked.timeout_seconds,
        }
    )

    async def work(finish: Finish) -> tuple[int, bytes]:
        placed = await _order(given, session, second, _call_id(request, body))
        return await _placed(given, placed, finish, 200)

    return await given.idempotency.run(request, caller.key, body, work)


async def _controlled(
    request: Request,
    call_id: str,
    caller: Caller,
    act: Callable[[Exchange, Call], Awaitable[Call]],
    body: Any = None,
) -> Response:
    given = services(request)
    if body is None:
        body = await read_json(request, optional=True)
        parse(Body, body)
    found = await _find(given, caller, call_id)

    async def work(finish: Finish) -> tuple[int, bytes]:
        try:
            after = await act(exchange_of(given), found)
        except CallOver:
            raise _not_active() from None
        except CarrierError as error:
            raise refused(error) from None
        answer = json.dumps(view(after)).encode()
        async with given.store.write() as unit:
            await finish(unit, 200, answer)
        return 200, answer

    return await given.idempotency.run(request, caller.key, body, work)


async def _placed(given: ApiServices, call: Call, finish: Finish, status: int = 202) -> tuple[int, bytes]:
    try:
        placed = await exchange_of(given).dial(call)
    except CarrierError as error:
        raise refused(error) from None
    answer = json.dumps(view(placed)).encode()
    async with given.store.write() as unit:
        await finish(unit, status, answer)
    return status, answer


async def _order(given: ApiServices, session: Session, asked: Dial, call_id: str) -> Call:
    """The call that is to be made."""
    if session.status in ("ending", "ended"):
        raise KallglotError("session_already_ended", "The session has ended.")
    participant = _participant(session, asked.participant)
    carrier, connection_id, number = await _line(given, session, asked.from_)
    return Call(
        id=call_id,
        session_id=session.id,
        organization_id=session.organization_id,
        livemode=session.livemode,
        carrier="simulated" if not session.livemode else carrier,
        direction="outbound",
        status="queued",
        created_at=given.clock.now(),
        connection_id=connection_id,
        from_=number,
        to=asked.to,
        participant_id=participant.id,
        details={
            "timeout_seconds": asked.timeout_seconds,
            "machine_detection": asked.machine_detection,
            **({"send_digits": asked.send_digits} if asked.send_digits else {}),
            **({} if session.livemode else {"provider": carrier}),
        },
    )


def _participant(session: Session, named: str | None) -> Participant:
    wanted = named or "customer"
    found = next((one for one in session.participants if wanted in (one.id, one.role)), None)
    if found is None and named is None:
        found = session.participants[0]
    if found is None:
        message = f"participant: no participant has the id or role {wanted[:64]!r}."
        raise KallglotError("invalid_field_value", message, param="participant")
    return found


async def _line(given: ApiServices, session: Session, from_: str | None) -> tuple[Carrier, str | None, str]:
    """By which connection, from which number: the session's, the number's, the organisation's default."""
    owner = (session.organization_id, session.livemode)
    named = (session.routing or {}).get("connection_id")
    number = from_ or session.phone_number
    async with given.store.read() as unit:
        owned = None if number is None else await unit.phone_numbers.owned(owner[0], number, owner[1])
        if from_ is not None and owned is None and session.livemode:
            message = f"from: {from_} is not an active number of this organization."
            raise KallglotError("routing_unavailable", message, param="from")
        connection = None
        for candidate in (named, None if owned is None else owned.connection_id):
            if (connection is None or not connection.active) and isinstance(candidate, str):
                connection = await unit.connections.get(candidate, *owner)
        if connection is None or not connection.active:
            connection = await unit.connections.default(*owner)
    if not session.livemode:
        carrier: Carrier = "telnyx" if session.carrier == "telnyx" else "twilio"
        return carrier, None, number or "+15005550006"
    if connection is None:
        message = "There is no connection to dial with: make one with POST /v1/connections."
        raise KallglotError("routing_unavailable", message, param="from")
    if number is None:
        message = "from is required: the session has no number of its own."
        raise KallglotError("missing_required_field", message, param="from")
    if connection.carrier == "telnyx" and not connection.settings.get("call_control_app_id"):
        message = f"{connection.id} has no call_control_app_id, which Telnyx needs to dial."
        raise KallglotError("routing_unavailable", message, param="from")
    return connection.carrier, connection.id, number


def _call_id(request: Request, body: dict[str, Any]) -> str:
    """The same request, with its Idempotency-Key, is the same call even after a crash."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return new_id(CALL)
    named = json.dumps([request.url.path, key, body], sort_keys=True)
    return f"{CALL}{ULID.from_bytes(hashlib.sha256(named.encode()).digest()[:16])}"


async def _find(given: ApiServices, caller: Caller, call_id: str) -> Call:
    """The caller's own call. Raises ``call_not_found``."""
    if _ID.fullmatch(call_id):
        async with given.store.read() as unit:
            found = await unit.calls.get(call_id, caller.organization_id, caller.livemode)
        if found is not None:
            return found
    raise KallglotError("call_not_found", "There is no such call.")


def exchange_of(given: ApiServices) -> Exchange:
    if given.exchange is None:
        raise KallglotError("unavailable", "This server reaches no carriers.", retry_after=60)
    return given.exchange


def refused(error: CarrierError) -> KallglotError:
    if error.code in _INVALID_NUMBER:
        return KallglotError("invalid_phone_number", error.message, param="to")
    return KallglotError("carrier_error", error.message)


def _not_active() -> KallglotError:
    return KallglotError("call_not_active", "The call is not active.")
