from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from tests.carriers.fakehttp import FakeHttp, Redirected, Waits, gives, hangs_up, never, never_in_time, served

from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.twilio import Holder, TwilioClient

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
ACCOUNT = "AC" + "0" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
CONNECTION = Connection(
    "pcon_1",
    "org_1",
    "twilio",
    "Main",
    NOW,
    settings={"account_sid": ACCOUNT},
    secrets={"auth_token": TOKEN},
)
ORDER = Order(
    "call_1",
    "+15550000001",
    "+15550000002",
    "https://h.example/answer/call_1",
    "https://h.example/status/call_1",
    "https://h.example/amd/call_1",
    Stream("wss://h.example/v1/sessions/sess_1/connect", {"token": "kst_live_secretsecret"}),
)
SID = "CA" + "1" * 32
CALL = Call(
    "call_1", "sess_1", "org_1", True, "twilio", "outbound", "in_progress", NOW, carrier_call_id=SID, to=ORDER.to
)


@dataclass
class FakeTwilio:
    """Keeps calls. ``fates`` says what becomes of each order: None is fine, ``before`` or ``after`` the call is made
    it goes wrong in that way."""

    http: FakeHttp = field(default_factory=FakeHttp)
    calls: list[dict[str, Any]] = field(default_factory=list)
    fates: list[tuple[str, Any]] = field(default_factory=list)
    lists: list[Any] = field(default_factory=list)
    now: datetime = NOW
    made: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, to: str = ORDER.to, from_: str = ORDER.from_, direction: str = "outbound-api") -> dict[str, Any]:
        call = {
            "sid": f"CA{len(self.calls):032x}",
            "to": to,
            "from": from_,
            "direction": direction,
            "date_created": format_datetime(self.now.replace(microsecond=0)),
            "start_time": None,
            "status": "queued",
        }
        self.calls.insert(0, call)
        self.made.set()
        return call

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            if self.lists:
                return await self.lists.pop(0)(request)
            wanted = [
                one for one in self.calls if (one["to"], one["from"]) == (request.query["To"], request.query["From"])
            ]
            return web.json_response({"calls": wanted, "next_page_uri": None, "page": 0, "page_size": 50})
        when, fate = self.fates.pop(0) if self.fates else ("never", None)
        if when == "before":
            return await fate(request)
        form = await request.post()
        call = self.add(str(form["To"]), str(form["From"]))
        if when == "after":
            return await fate(request)
        return web.json_response(call, status=201)


@asynccontextmanager
async def twilio(*fates: tuple[str, Any]) -> AsyncIterator[FakeTwilio]:
    fake = FakeTwilio(fates=list(fates))
    async with served(fake.answer) as http:
        fake.http = http
        yield fake


@asynccontextmanager
async def client(
    http: FakeHttp, connection: Connection = CONNECTION, holder: Holder | None = None
) -> AsyncIterator[TwilioClient]:
    waits = Waits()
    one = TwilioClient(connection, Redirected(http.url), holder=holder, sleep=waits, now=lambda: NOW)
    one.waits = waits  # type: ignore[attr-defined]
    try:
        yield one
    finally:
        await one.close()


def waited(one: TwilioClient) -> list[float]:
    return one.waits.seconds  # type: ignore[attr-defined]


class TestRequests:
    async def test_an_order(self) -> None:
        order = replace(ORDER, send_digits="ww12#", machine_detection=True, timeout_seconds=30)
        async with twilio() as fake, client(fake.http) as one:
            assert await one.dial(order) == fake.calls[0]["sid"]
        (asked,) = fake.http.asked
        assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
        assert asked.headers["Authorization"] == "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        fragment = "#rc=5&rp=all&ct=2000"
        assert asked.body == {
            "To": [ORDER.to],
            "From": [ORDER.from_],
            "Url": [ORDER.answer_url + fragment],
            "Method": ["POST"],
            "StatusCallback": [ORDER.status_url + fragment],
            "StatusCallbackMethod": ["POST"],
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
            "Timeout": ["30"],
            "SendDigits": ["ww12#"],
            "MachineDetection": ["Enable"],
            "AsyncAmd": ["true"],
            "AsyncAmdStatusCallback": [ORDER.amd_url + fragment],
            "AsyncAmdStatusCallbackMethod": ["POST"],
        }

    async def test_a_plain_order(self) -> None:
        async with twilio() as fake, client(fake.http) as one:
            await one.dial(ORDER)
        assert not {"SendDigits", "MachineDetection", "AsyncAmd"} & set(fake.http.asked[0].body)

    async def test_api_key_region_and_edge(self) -> None:
        connection = replace(
            CONNECTION,
            settings={"account_sid": ACCOUNT, "api_key_sid": "SK1", "region": "ie1", "edge": "dublin"},
            secrets={"api_key_secret": "key's secret", "auth_token": TOKEN},
        )
        async with served(gives({"sid": SID}, 201)) as http:
            redirected = Redirected(http.url)
            one = TwilioClient(connection, redirected)
            await one.dial(ORDER)
            await one.close()
        assert redirected.asked_for == [f"https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json"]
        assert http.asked[0].headers["Authorization"] == "Basic " + base64.b64encode(b"SK1:key's secret").decode()

    async def test_nothing_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = {"ACCOUNT_SID": "ACenv", "AUTH_TOKEN": "env", "REGION": "au1", "EDGE": "sydney"}
        for name, value in values.items():
            monkeypatch.setenv(f"TWILIO_{name}", value)
        async with served(gives({"sid": SID}, 201)) as http:
            redirected = Redirected(http.url)
            one = TwilioClient(CONNECTION, redirected)
            await one.dial(ORDER)
            with pytest.raises(CarrierError, match="auth token"):
                await TwilioClient(replace(CONNECTION, secrets={})).dial(ORDER)
            await one.close()
        assert redirected.asked_for == [f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json"]

    async def test_hang_up_transfer_and_restream(self) -> None:
        async with served(gives({"sid": SID})) as http, client(http) as one:
            await one.hang_up(CALL)
            await one.transfer(
                CALL, "+15550000003", from_=None, timeout_seconds=20, result_url="https://h.example/result"
            )
            await one.restream(CALL, ORDER.stream, "https://h.example/answer")
        assert {asked.path for asked in http.asked} == {f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{SID}.json"}
        hang_up, transfer, restream = (asked.body for asked in http.asked)
        assert hang_up == {"Status": ["completed"]}
        assert set(transfer) == {"Twiml"}
        assert "<Dial action=" in transfer["Twiml"][0]
        assert "+15550000003</Number>" in transfer["Twiml"][0]
        assert restream == {"Url": ["https://h.example/answer#rc=5&rp=all&ct=2000"], "Method": ["POST"]}

    async def test_what_twilio_cannot(self) -> None:
        one = TwilioClient(CONNECTION)
        assert await one.send_digits(CALL, "12#") is False
        with pytest.raises(CarrierError):
            await one.answer(CALL, ORDER.stream)

    @pytest.mark.parametrize("sid", [None, "", "../Accounts", "CA1/Recordings", "CA1?x=1"])
    async def test_no_id_to_speak_of(self, sid: str | None) -> None:
        with pytest.raises(CarrierError):
            await TwilioClient(CONNECTION).hang_up(replace(CALL, carrier_call_id=sid))

    async def test_its_own_http_client(self) -> None:
        one = TwilioClient(CONNECTION)
        assert one._api().http_client._inner.session is not None
        session = one._api().http_client._inner.session
        await one.close()
        assert session.closed


class TestRefusals:
    async def test_a_refusal(self) -> None:
        body = {"code": 21211, "message": f"Invalid 'To', {TOKEN} kst_live_secretsecret", "status": 400}
        async with served(gives(body, 400)) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert len(http.asked) == 1
        error = caught.value
        assert (error.code, error.status, error.gone, error.unclear) == ("21211", 400, False, False)
        assert error.message == "Twilio refused: Invalid 'To', … …"

    async def test_problem_details(self) -> None:
        body = {"type": "about:blank", "title": "Bad", "status": 400, "code": 20001, "detail": "It is."}
        async with served(gives(body, 400)) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
        assert (caught.value.code, caught.value.message) == ("20001", "Twilio refused: It is.")

    async def test_over_already(self) -> None:
        body = {"code": 21220, "message": "Invalid call state: Call is not in-progress.", "status": 400}
        async with served(gives(body, 400)) as http, client(http) as one:
            await one.hang_up(CALL)
            with pytest.raises(CarrierError) as caught:
                await one.restream(CALL, ORDER.stream, "https://h.example/a")
        assert caught.value.gone

    async def test_too_many_requests(self) -> None:
        busy = gives({"code": 20429, "message": "Too Many Requests"}, 429, Retry_After="2")
        async with served(busy, gives({"sid": SID}, 201)) as http, client(http) as one:
            assert await one.dial(ORDER) == SID
            assert waited(one) == [2]
        assert [asked.method for asked in http.asked] == ["POST", "POST"]

    async def test_a_wait_that_is_too_long(self) -> None:
        async with served(gives({}, 429, Retry_After="60")) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert (len(http.asked), waited(one)) == (1, [])
        assert (caught.value.status, caught.value.unclear) == (429, False)

    async def test_a_wait_that_never_ends(self) -> None:
        async with served(gives({}, 429)) as http, client(http) as one:
            with pytest.raises(CarrierError):
                await one.dial(ORDER)
            assert (len(http.asked), len(waited(one))) == (3, 2)

    async def test_what_can_be_repeated_is(self) -> None:
        async with served(gives("no", 503), hangs_up, gives({"sid": SID})) as http, client(http) as one:
            await one.hang_up(CALL)
            assert len(http.asked) == 3

    @pytest.mark.parametrize("answer", [gives("no", 500), hangs_up, gives("<html>", 200)])
    async def test_a_transfer_is_not_repeated(self, answer: Any) -> None:
        async with served(answer) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.transfer(CALL, "+1555", from_="+1556", timeout_seconds=20, result_url="https://h.example/")
            assert caught.value.unclear
            assert len(http.asked) == 1

    async def test_nobody_there(self, free_port: int) -> None:
        async with client(FakeHttp(f"http://127.0.0.1:{free_port}")) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert len(waited(one)) == 2
        assert (caught.value.unclear, caught.value.status) == (False, None)

    async def test_no_secret_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        async with served(gives({"message": TOKEN}, 401)) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
        assert TOKEN not in caplog.text + repr(caught.value) + str(caught.value)
        assert ORDER.to not in caplog.text
        assert caught.value.__context__ is None or caught.value.__suppress_context__


class TestUnclearOrders:
    """The call was made, or it was not: exactly one exists in the end."""

    @pytest.mark.parametrize("answer", [hangs_up, gives("gone", 502), gives("<html>", 201), gives({"sid": 7}, 201)])
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_one_call(self, when: str, answer: Any) -> None:
        async with twilio((when, answer)) as fake, client(fake.http) as one:
            sid = await one.dial(ORDER)
            assert [call["sid"] for call in fake.calls] == [sid]
            assert await one.dial(ORDER) == sid
        assert [asked.method for asked in fake.http.asked] == ["POST", "GET"] + ["POST"] * (when == "before")
        assert fake.http.asked[1].query == {"To": ORDER.to, "From": ORDER.from_, "PageSize": "50"}

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_no_answer(self, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async with twilio((when, never_in_time(monkeypatch))) as fake, client(fake.http) as one:
            assert await one.dial(ORDER) == fake.calls[0]["sid"]
        assert len(fake.calls) == 1

    async def test_the_second_attempt_is_the_last(self) -> None:
        async with twilio(("before", hangs_up), ("before", hangs_up)) as fake, client(fake.http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert caught.value.unclear
            assert [asked.method for asked in fake.http.asked] == ["POST", "GET", "POST", "GET"]

    async def test_the_second_attempt_is_found_too(self) -> None:
        async with twilio(("before", hangs_up), ("after", hangs_up)) as fake, client(fake.http) as one:
            assert await one.dial(ORDER) == fake.calls[0]["sid"]
            assert len(fake.calls) == 1

    async def test_repeated_by_whoever_ordered(self) -> None:
        async with twilio(("after", hangs_up)) as fake, client(fake.http) as one:
            fake.lists = [gives("no", 503)] * 3
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert caught.value.unclear
            assert await one.dial(ORDER) == fake.calls[0]["sid"]
            assert [asked.method for asked in fake.http.asked] == ["POST", "GET", "GET", "GET", "GET"]

    async def test_given_up_and_ordered_again(self) -> None:
        async with twilio(("after", never)) as fake, client(fake.http) as one:
            first = asyncio.create_task(one.dial(ORDER))
            await fake.made.wait()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await one.dial(ORDER) == fake.calls[0]["sid"]
            assert len(fake.calls) == 1

    async def test_other_calls_are_not_taken(self) -> None:
        async with twilio() as fake, client(fake.http) as one:
            other = await one.dial(replace(ORDER, call_id="call_0"))
            fake.add(direction="inbound")
            fake.now = NOW - timedelta(minutes=5)
            fake.add()
            fake.now = NOW
            fake.fates = [("before", hangs_up)]
            assert await one.dial(ORDER) not in (other, None)
            assert len(fake.calls) == 4

    async def test_two_orders_at_once(self) -> None:
        fates = [("after", hangs_up), ("before", hangs_up), ("never", None)]
        async with twilio(*fates) as fake, client(fake.http) as one:
            sids = await asyncio.gather(one.dial(ORDER), one.dial(replace(ORDER, call_id="call_2")), one.dial(ORDER))
            assert sids[0] == sids[2] != sids[1]
            assert {call["sid"] for call in fake.calls} == set(sids)

    @pytest.mark.parametrize(("knows", "calls"), [("call_1", 2), ("call_9", 3), (None, 2)])
    async def test_what_the_status_callbacks_have_told(self, knows: str | None, calls: int) -> None:
        """``ours`` is the later of two: without a word of the callbacks the one nearest in time is taken."""

        async with twilio(("before", hangs_up)) as fake:
            theirs = fake.add()["sid"]
            fake.now = NOW + timedelta(seconds=1)
            ours = fake.add()["sid"]

            async def holder(sid: str) -> str | None:
                return {"call_1": {ours: "call_1"}, "call_9": {ours: "call_9", theirs: "call_8"}, None: {}}[knows].get(
                    sid
                )

            async with client(fake.http, holder=holder) as one:
                sid = await one.dial(ORDER)
            assert len(fake.calls) == calls
            assert sid == {"call_1": ours, "call_9": fake.calls[0]["sid"], None: theirs}[knows]
