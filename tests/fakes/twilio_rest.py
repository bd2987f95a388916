"""The part of https://api.twilio.com that is about calls, as https://www.twilio.com/docs/voice/api/call-resource and
Twilio's OpenAPI have it."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from tests.fakes.calls import Answer
from tests.fakes.faults import Faults, Served

if TYPE_CHECKING:
    from tests.fakes.twilio import FakeTwilio, TwilioCall

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_ADDRESS = re.compile(r"(sips?:|client:).+", re.IGNORECASE)
_STATUSES = ("completed", "canceled")


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class TwilioRest(Faults):
    """``asked`` has each request that was served; :meth:`fail_next` plans what goes wrong."""

    def __init__(self, twilio: FakeTwilio) -> None:
        super().__init__()
        self._twilio = twilio
        root = "/2010-04-01/Accounts/{account}"
        self.app.router.add_post(root + "/Calls.json", self._create)
        self.app.router.add_get(root + "/Calls.json", self._list)
        self.app.router.add_post(root + "/Calls/{sid}.json", self._update)
        self.app.router.add_get(root + "/Calls/{sid}.json", self._show)

    async def handle(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            self._authorised(request)
            return await handler(request)
        except Refused as refused:
            return self.refusal(refused.status, refused.code, str(refused))
        except web.HTTPNotFound:
            return self.refusal(404, 20404, f"The requested resource {request.path} was not found")

    def refusal(self, status: int, code: int = 20500, message: str = "Internal error") -> web.Response:
        if status == 429:
            code, message = 20429, "Too Many Requests"
        more = f"https://www.twilio.com/docs/errors/{code}"
        return web.json_response({"code": code, "message": message, "more_info": more, "status": status}, status=status)

    def _authorised(self, request: web.Request) -> None:
        pair = f"{self._twilio.account_sid}:{self._twilio.auth_token}".encode()
        if request.headers.get("Authorization") != f"Basic {base64.b64encode(pair).decode()}":
            raise Refused(401, 20003, "Authenticate")
        if request.match_info.get("account") != self._twilio.account_sid:
            raise Refused(404, 20404, f"The requested resource {request.path} was not found")

    def _call(self, request: web.Request) -> TwilioCall:
        from tests.fakes.twilio import TwilioCall

        call = self._twilio.calls.get(request.match_info["sid"])
        if not isinstance(call, TwilioCall):
            raise Refused(404, 20404, f"The requested resource {request.path} was not found")
        return call

    async def _create(self, request: web.Request) -> web.Response:
        from tests.fakes.twilio import TwilioCall, source_of

        fields = await request.post()
        form = {name: str(value) for name, value in fields.items()}
        self.served(Served(request.method, request.path, form))
        source = source_of(form)
        if "To" not in form or not (_E164.fullmatch(form["To"]) or _ADDRESS.fullmatch(form["To"])):
            raise Refused(400, 21211, f"The phone number you are attempting to call, {form.get('To')}, is not valid.")
        if "From" not in form:
            raise Refused(400, 21213, "A 'From' phone number is required.")
        if source is None:
            raise Refused(400, 21205, "Url parameter is required.")
        if "Url" not in form and len(form["Twiml"]) > 4000:
            raise Refused(400, 21240, "Twiml is longer than 4000 characters")
        call = TwilioCall(self._twilio, form["From"], form["To"], direction="outbound-api")
        call.status = "queued"
        call.fallback_url = form.get("FallbackUrl")
        call.status_url = form.get("StatusCallback")
        call.status_method = form.get("StatusCallbackMethod", "POST")
        events = [str(event) for event in fields.getall("StatusCallbackEvent", ["completed"])]
        call.status_events = frozenset(" ".join(events).split())
        body = self._view(call)
        answer = self._twilio.answers.get(call.to, Answer())
        call.replace(call.originate(source, answer, form))
        self._twilio.placed.put_nowait(call)
        return web.json_response(body, status=201)

    async def _update(self, request: web.Request) -> web.Response:
        from tests.fakes.twilio import source_of

        call = self._call(request)
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.served(Served(request.method, request.path, form))
        status = form.get("Status")
        if status is not None and status not in _STATUSES:
            raise Refused(400, 21218, f"Invalid Status {status}")
        if "Url" in form and "Twiml" in form:
            raise Refused(400, 21221, "Url and Twiml exclude each other")
        if call.over:
            raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
        if status == "canceled" and call.answered_s is not None:
            raise Refused(400, 21220, "Call is in-progress. Cannot cancel.")
        source = source_of(form)
        if status is not None:
            await call.finish("completed" if call.answered_s is not None else "canceled")
        elif source is not None:
            if call.answered_s is None:
                raise Refused(400, 21220, "Call is not in-progress. Cannot redirect.")
            call.update(source)
        return web.json_response(self._view(call))

    async def _show(self, request: web.Request) -> web.Response:
        self.served(Served(request.method, request.path, {}))
        return web.json_response(self._view(self._call(request)))

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first. ``StartTime`` filters by the day or the moment, https://www.twilio.com/docs/voice/api/call-resource."""
        from tests.fakes.twilio import TwilioCall

        query = request.query
        self.served(Served(request.method, request.path, dict(query)))
        calls = [call for call in self._twilio.calls.values() if isinstance(call, TwilioCall)]
        for name, attribute in (("To", "to"), ("From", "from_"), ("Status", "status")):
            if name in query:
                calls = [call for call in calls if getattr(call, attribute) == query[name]]
        for name in ("StartTime>", "StartTime>="):
            if name in query:
                after = _moment(query[name])
                calls = [call for call in calls if call.date_created >= after]
        for name in ("StartTime<", "StartTime<="):
            if name in query:
                before = _moment(query[name])
                calls = [call for call in calls if call.date_created <= before]
        size = int(query.get("PageSize", "50"))
        page = int(query.get("Page", "0"))
        shown = calls[::-1][page * size : (page + 1) * size]
        more = len(calls) > (page + 1) * size
        return web.json_response(
            {
                "calls": [self._view(call) for call in shown],
                "page": page,
                "page_size": size,
                "start": page * size,
                "end": page * size + len(shown) - 1,
                "uri": request.path_qs,
                "first_page_uri": f"{request.path}?PageSize={size}&Page=0",
                "next_page_uri": f"{request.path}?PageSize={size}&Page={page + 1}" if more else None,
                "previous_page_uri": None,
            }
        )

    def _view(self, call: TwilioCall) -> dict[str, Any]:
        account = self._twilio.account_sid
        uri = f"/2010-04-01/Accounts/{account}/Calls/{call.sid}"
        started = call.date_created if call.answered_s is not None or call.over else None
        ended = (
            call.date_created + timedelta(seconds=call.ended_s - call.created_s) if call.ended_s is not None else None
        )
        return {
            "sid": call.sid,
            "account_sid": account,
            "annotation": None,
            "answered_by": call.answered_by,
            "api_version": "2010-04-01",
            "caller_name": None,
            "date_created": format_datetime(call.date_created),
            "date_updated": format_datetime(datetime.now(UTC)),
            "direction": call.direction,
            "duration": str(call.duration_s) if call.over else None,
            "end_time": None if ended is None else format_datetime(ended),
            "forwarded_from": None,
            "from": call.from_,
            "from_formatted": call.from_,
            "group_sid": None,
            "parent_call_sid": None,
            "phone_number_sid": None,
            "price": None,
            "price_unit": "USD",
            "queue_time": "0",
            "start_time": None if started is None else format_datetime(started),
            "status": call.status,
            "subresource_uris": {"recordings": f"{uri}/Recordings.json", "streams": f"{uri}/Streams.json"},
            "to": call.to,
            "to_formatted": call.to,
            "trunk_sid": None,
            "uri": f"{uri}.json",
        }


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
