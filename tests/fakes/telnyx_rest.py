"""The part of https://api.telnyx.com/v2 that is about calls: Call Control, and TeXML's REST API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web
from tests.fakes.calls import Answer
from tests.fakes.faults import Faults, Served
from tests.fakes.verbs import Fetch, Literally, Source

if TYPE_CHECKING:
    from tests.fakes.telnyx import FakeTelnyx, TelnyxCall

DUPLICATE_S = 60.0
_TO = re.compile(r"\+[1-9]\d{6,14}|sips?:.+")
_ENUMS = {
    "stream_bidirectional_mode": ("mp3", "rtp"),
    "stream_bidirectional_codec": ("PCMU", "PCMA", "G722", "OPUS", "AMR-WB", "L16"),
    "stream_bidirectional_target_legs": ("both", "self", "opposite"),
    "stream_track": ("inbound_track", "outbound_track", "both_tracks"),
}
_EARLY = frozenset({"answer", "reject", "hangup", "transfer", "client_state_update"})
"""What a call takes that is not answered yet."""
_KNOWN = _EARLY | {
    "streaming_start",
    "streaming_stop",
    "send_dtmf",
    "bridge",
    "record_start",
    "record_stop",
    "record_pause",
    "record_resume",
    "speak",
    "playback_start",
}


class Refused(Exception):
    def __init__(self, status: int, code: str, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.code = code


class TelnyxRest(Faults):
    """``asked`` has each request that was served, duplicates included; :meth:`fail_next` plans what goes wrong."""

    def __init__(self, telnyx: FakeTelnyx) -> None:
        super().__init__()
        self._telnyx = telnyx
        self._done: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        router = self.app.router
        router.add_post("/v2/calls", self._dial)
        router.add_get("/v2/calls/{id}", self._show)
        router.add_post("/v2/calls/{id}/actions/{action}", self._command)
        router.add_put("/v2/calls/{id}/actions/{action}", self._command)
        router.add_post("/v2/texml/Accounts/{account}/Calls", self._order)
        router.add_post("/v2/texml/Accounts/{account}/Calls/{id}", self._update)

    async def handle(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if request.headers.get("Authorization") != f"Bearer {self._telnyx.api_key}":
                raise Refused(401, "10009", "Authentication failed")
            return await handler(request)
        except Refused as refused:
            return self.refusal(refused.status, refused.code, str(refused))
        except web.HTTPNotFound:
            return self.refusal(404, "10005", "Resource not found")

    def refusal(self, status: int, code: str = "10007", title: str = "Unexpected error") -> web.Response:
        if status == 429:
            code, title = "10011", "Too many requests"
        return web.json_response({"errors": [{"code": code, "title": title, "detail": title}]}, status=status)

    # --- Call Control

    async def _json(self, request: web.Request) -> dict[str, Any]:
        try:
            body = json.loads(await request.read() or b"{}")
        except ValueError:
            raise Refused(400, "10015", "Bad Request") from None
        self.served(Served(request.method, request.path, body))
        for name, allowed in _ENUMS.items():
            if name in body and body[name] not in allowed:
                raise Refused(422, "10032", f"Invalid enumerated value of {name}")
        return body

    def _repeated(self, request: web.Request, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The first answer to a command that came within the last 60 s."""
        done = self._done.get((request.path, str(body.get("command_id"))))
        now_s = self._telnyx.pace.now_s()
        return done[1] if done is not None and "command_id" in body and now_s - done[0] < DUPLICATE_S else None

    def _answered(self, request: web.Request, body: Mapping[str, Any], data: dict[str, Any]) -> web.Response:
        if "command_id" in body:
            self._done[request.path, str(body["command_id"])] = (self._telnyx.pace.now_s(), data)
        return web.json_response({"data": data})

    async def _dial(self, request: web.Request) -> web.Response:
        from tests.fakes.telnyx import TelnyxCall

        body = await self._json(request)
        if (before := self._repeated(request, body)) is not None:
            return web.json_response({"data": before})
        for name in ("connection_id", "to", "from"):
            if not body.get(name):
                raise Refused(422, "10004", f"Missing required parameter {name}")
        if body["connection_id"] != self._telnyx.connection_id:
            raise Refused(422, "10015", "Invalid value for connection_id (Call Control App ID)")
        if not _TO.fullmatch(body["to"]):
            raise Refused(422, "10016", "Phone number must be in +E.164 format")
        call = TelnyxCall(self._telnyx, body["from"], body["to"], product="call_control", direction="outgoing")
        call.event_url = body.get("webhook_url", self._telnyx.event_url)
        call.client_state = body.get("client_state")
        answer = self._telnyx.answers.get(call.to, Answer())
        call.replace(call.dialled_by(body, answer))
        self._telnyx.placed.put_nowait(call)
        return self._answered(request, body, self._view(call))

    def _call(self, request: web.Request) -> TelnyxCall:
        from tests.fakes.telnyx import TelnyxCall

        call = self._telnyx.calls.get(request.match_info["id"])
        if not isinstance(call, TelnyxCall):
            raise Refused(422, "90015", "Invalid Call Control ID")
        return call

    async def _command(self, request: web.Request) -> web.Response:
        action = request.match_info["action"]
        body = await self._json(request)
        if action not in _KNOWN:
            raise web.HTTPNotFound
        call = self._call(request)
        if self._repeated(request, body) is not None:
            return web.json_response({"data": {"result": "ok"}})
        if call.over:
            raise Refused(422, "90018", "Call has already ended")
        if call.answered_s is None and action not in _EARLY:
            raise Refused(422, "90034", "Call not answered yet")
        call.commands.append(action)
        call.client_state = body.get("client_state", call.client_state)
        if "webhook_url" in body:
            call.event_url = body["webhook_url"]
        await self._carry_out(call, action, body)
        call.changed()
        return self._answered(request, body, {"result": "ok"})

    async def _carry_out(self, call: TelnyxCall, action: str, body: Mapping[str, Any]) -> None:
        match action:
            case "answer":
                if call.answered_s is None:
                    call.pick_up(body)
            case "reject":
                call.hangup_cause = "call_rejected"
                await call.finish("busy" if body.get("cause") == "USER_BUSY" else "failed")
            case "hangup":
                call.hangup_source = "callee" if call.direction == "incoming" else "caller"
                await call.finish("completed" if call.answered_s is not None else "canceled")
            case "transfer":
                if not _TO.fullmatch(str(body.get("to", ""))):
                    raise Refused(422, "10016", "Phone number must be in +E.164 format")
                self._telnyx.later(call.transfer(body))
            case "streaming_start":
                if "stream_url" not in body:
                    raise Refused(422, "10004", "Missing required parameter stream_url")
                call.open_by(body)
            case "streaming_stop":
                for stream in call.open_streams:
                    if body.get("stream_id") in (None, stream.id):
                        stream.stop()
            case "send_dtmf":
                if not re.fullmatch(r"[0-9A-Da-d*#wW]+", str(body.get("digits", ""))):
                    raise Refused(422, "10015", "Invalid digits")
                call.digits_played += body["digits"]
            case "bridge":
                call.bridged_with = body.get("call_control_id")
                call.event("call.bridged")
                other = self._telnyx.calls.get(str(call.bridged_with))
                if other is not None:
                    other.event("call.bridged")  # type: ignore[attr-defined]
            case "speak" | "playback_start":
                if call.open_streams:
                    raise Refused(422, "90045", "Media Streaming is used")
            case _:
                pass

    async def _show(self, request: web.Request) -> web.Response:
        self.served(Served(request.method, request.path, {}))
        return web.json_response({"data": self._view(self._call(request))})

    def _view(self, call: TelnyxCall) -> dict[str, Any]:
        return {
            "record_type": "call",
            "call_control_id": call.sid,
            "call_leg_id": call.leg_id,
            "call_session_id": call.session_id,
            "client_state": call.client_state,
            "is_alive": not call.over,
        }

    # --- TeXML

    async def _order(self, request: web.Request) -> web.Response:
        """JSON or a form."""
        from tests.fakes.telnyx import TelnyxCall

        if request.content_type == "application/json":
            form = {name: str(value) for name, value in json.loads(await request.read()).items()}
        else:
            form = {name: str(value) for name, value in (await request.post()).items()}
        self.served(Served(request.method, request.path, form))
        source = _source(form)
        if "To" not in form or "From" not in form or "ApplicationSid" not in form or source is None:
            raise Refused(422, "10004", "Missing required parameter")
        call = TelnyxCall(self._telnyx, form["From"], form["To"], product="texml", direction="outgoing")
        call.status = "queued"
        call.status_url = form.get("StatusCallback")
        call.status_events = frozenset(form.get("StatusCallbackEvent", "completed").split())
        call.fallback_url = form.get("FallbackUrl")
        call.replace(call.ordered_by(form, source, self._telnyx.answers.get(call.to, Answer())))
        self._telnyx.placed.put_nowait(call)
        return web.json_response({"from": call.from_, "to": call.to, "status": "queued", "call_sid": call.sid})

    async def _update(self, request: web.Request) -> web.Response:
        """Takes a form only, as the OpenAPI has it."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refused(415, "10015", "Unsupported media type")
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.served(Served(request.method, request.path, form))
        call = self._call(request)
        if call.over:
            raise Refused(422, "90018", "Call has already ended")
        source = _source(form)
        if form.get("Status") in ("completed", "canceled"):
            await call.finish("completed" if call.answered_s is not None else "canceled")
        elif source is not None:
            call.begin(source)
        return web.json_response({"sid": call.sid, "status": call.status, "from": call.from_, "to": call.to})


def _source(form: Mapping[str, str]) -> Source | None:
    if "Url" in form:
        return Fetch(form["Url"], form.get("Method", "POST"))
    return Literally(form["Texml"]) if "Texml" in form else None
