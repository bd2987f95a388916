from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from tests.carriers.fakehttp import FakeHttp, Waits, gives, hangs_up, never_in_time, served

from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.telnyx import TelnyxClient

NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
KEY = "KEY0123456789ABCDEF_secretsecretsecret"
TOKEN = "kst_live_secretsecret"
CONNECTION = Connection(
    "pcon_2",
    "org_1",
    "telnyx",
    "Main",
    NOW,
    settings={"call_control_app_id": "7267", "account_sid": "acc/1"},
    secrets={"api_key": KEY},
)
STREAM = Stream("wss://h.example/v1/sessions/sess_1/connect", {"token": TOKEN, "participant": "part_1"})
ORDER = Order(
    "call_1",
    "+15550000001",
    "+15550000002",
    "https://h.example/answer",
    "https://h.example/status/call_1",
    "https://h.example/amd",
    STREAM,
)
LEG = "v3:MdI91X4lWFEs7I/gbBE_OT9"
PATH = "/calls/v3:MdI91X4lWFEs7I%2FgbBE_OT9/actions/"
CALL = Call("call_1", "sess_1", "org_1", True, "telnyx", "outbound", "in_progress", NOW, carrier_call_id=LEG)
TEXML = replace(CALL, details={"product": "texml"})
OK = gives({"data": {"result": "ok"}})
PLACED = gives({"data": {"call_control_id": LEG, "call_leg_id": "1", "is_alive": True, "record_type": "call"}})
RTP = {
    "stream_track": "inbound_track",
    "stream_bidirectional_mode": "rtp",
    "stream_bidirectional_codec": "PCMU",
    "stream_bidirectional_target_legs": "self",
    "stream_url": STREAM.url,
}


def errors(code: str, status: int = 422, detail: str = "It is.") -> Any:
    return gives({"errors": [{"code": code, "title": "No", "detail": detail}]}, status)


@asynccontextmanager
async def client(http: FakeHttp, connection: Connection = CONNECTION) -> AsyncIterator[TelnyxClient]:
    one = TelnyxClient(connection, http.url, sleep=Waits())
    try:
        yield one
    finally:
        await one.close()


def waited(one: TelnyxClient) -> list[float]:
    return one._sleep.seconds  # type: ignore[attr-defined]


def state(body: dict[str, Any], name: str = "client_state") -> Any:
    return json.loads(base64.b64decode(body.pop(name)))


class TestCommands:
    async def test_an_order(self) -> None:
        order = replace(ORDER, send_digits="ww12#", machine_detection=True, timeout_seconds=1)
        async with served(PLACED) as http, client(http) as one:
            assert await one.dial(order) == LEG
            await one.dial(order)
            await one.dial(replace(order, call_id="call_2"))
        first, second, third = (asked.body for asked in http.asked)
        assert first == second
        assert uuid.UUID(first["command_id"]).version == 5
        assert first.pop("command_id") != third["command_id"]
        assert state(first) == {"token": TOKEN, "participant": "part_1", "call_id": "call_1"}
        assert first == RTP | {
            "connection_id": "7267",
            "to": ORDER.to,
            "from": ORDER.from_,
            "timeout_secs": 5,
            "webhook_url": ORDER.status_url,
            "webhook_url_method": "POST",
            "stream_bidirectional_sampling_rate": 8000,
            "send_silence_when_idle": True,
            "send_digits_on_answer": "ww12#",
            "answering_machine_detection": "detect",
        }
        assert (http.asked[0].method, http.asked[0].path) == ("POST", "/calls")
        assert http.asked[0].headers["Authorization"] == f"Bearer {KEY}"

    async def test_control(self) -> None:
        async with served(OK) as http, client(http) as one:
            await one.hang_up(CALL)
            await one.transfer(
                CALL, "+15550000003", from_="+15550000002", timeout_seconds=20, result_url="https://h.example/r"
            )
            await one.restream(CALL, STREAM, "https://h.example/answer")
            assert await one.send_digits(CALL, "12w#") is True
            await one.answer(CALL, STREAM)
            await one.answer(CALL, STREAM)
        paths = ["hangup", "transfer", "streaming_start", "send_dtmf", "answer", "answer"]
        assert [asked.path for asked in http.asked] == [PATH + path for path in paths]
        hang_up, transfer, restream, digits, answer, again = (asked.body for asked in http.asked)
        assert answer == again
        ids = [body.pop("command_id") for body in (hang_up, transfer, restream, digits, answer)]
        assert len(set(ids)) == 5
        assert hang_up == {}
        assert state(transfer, "target_leg_client_state") == {"transfer": "call_1"}
        assert transfer == {
            "to": "+15550000003",
            "from": "+15550000002",
            "timeout_secs": 20,
            "webhook_url": "https://h.example/r",
            "webhook_url_method": "POST",
        }
        parameters = [{"name": "token", "value": TOKEN}, {"name": "participant", "value": "part_1"}]
        assert state(restream) == state(answer) == {"token": TOKEN, "participant": "part_1", "call_id": "call_1"}
        assert restream == RTP | {"custom_parameters": parameters, "stream_bidirectional_sampling_rate": 8000}
        assert digits == {"digits": "12w#"}
        assert answer == RTP | {"send_silence_when_idle": True}

    async def test_texml(self) -> None:
        async with served(gives({"sid": LEG})) as http, client(http) as one:
            await one.hang_up(TEXML)
            await one.transfer(TEXML, "+15550000003", from_=None, timeout_seconds=20, result_url="https://h.example/r")
            await one.restream(TEXML, STREAM, "https://h.example/answer")
            assert await one.send_digits(TEXML, "1") is False
            with pytest.raises(CarrierError):
                await one.answer(TEXML, STREAM)
        assert {asked.path for asked in http.asked} == {"/texml/Accounts/acc%2F1/Calls/v3%3AMdI91X4lWFEs7I%2FgbBE_OT9"}
        for asked in http.asked:
            assert asked.headers["Authorization"] == f"Bearer {KEY}"
            assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
        hang_up, transfer, restream = (asked.body for asked in http.asked)
        assert hang_up == {"Status": ["completed"]}
        assert transfer["Texml"][0].startswith('<?xml version="1.0" encoding="UTF-8"?><Response><Dial ')
        assert restream == {"Url": ["https://h.example/answer"], "Method": ["POST"]}

    async def test_nothing_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("API_KEY", "PUBLIC_KEY", "CLIENT_ID", "CLIENT_SECRET"):
            monkeypatch.setenv(f"TELNYX_{name}", "environment")
        monkeypatch.setenv("TELNYX_BASE_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("TELNYX_CUSTOM_HEADERS", "X-Env: environment\nAuthorization: environment")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        async with served(OK) as http, client(http) as one:
            await one.hang_up(CALL)
            await one.hang_up(TEXML)
        for asked in http.asked:
            assert asked.headers["Authorization"] == f"Bearer {KEY}"
            assert "environment" not in json.dumps(asked.headers)
        default = TelnyxClient(CONNECTION)
        await default.open()
        assert str(default._sdk and default._sdk.base_url) == "https://api.telnyx.com/v2/"
        await default.close()

    @pytest.mark.parametrize(
        ("settings", "secrets", "missing"),
        [
            ({}, {"api_key": KEY}, "call_control_app_id"),
            ({"call_control_app_id": "7"}, {}, "API key"),
        ],
    )
    async def test_an_incomplete_connection(
        self, settings: dict[str, str], secrets: dict[str, str], missing: str
    ) -> None:
        one = TelnyxClient(replace(CONNECTION, settings=settings, secrets=secrets))
        with pytest.raises(CarrierError, match=missing):
            await one.dial(ORDER)

    async def test_no_id_to_speak_of(self) -> None:
        with pytest.raises(CarrierError):
            await TelnyxClient(CONNECTION).hang_up(replace(CALL, carrier_call_id=None))


class TestRefusals:
    async def test_a_refusal(self) -> None:
        answer = errors("10016", detail=f"Not E.164, KEY0123456789ABCDEF {TOKEN}")
        async with served(answer) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert len(http.asked) == 1
        error = caught.value
        assert (error.code, error.status, error.gone, error.unclear) == ("10016", 422, False, False)
        assert error.message == "Telnyx refused: Not E.164, … …"

    @pytest.mark.parametrize("call", [CALL, TEXML])
    async def test_over_already(self, call: Call) -> None:
        async with served(errors("90018")) as http, client(http) as one:
            await one.hang_up(call)
            with pytest.raises(CarrierError) as caught:
                await one.restream(call, STREAM, "https://h.example/")
        assert (caught.value.gone, caught.value.code) == (True, "90018")

    async def test_what_is_not_there(self) -> None:
        async with served(errors("10005", 404)) as http, client(http) as one:
            await one.hang_up(TEXML)
            with pytest.raises(CarrierError) as caught:
                await one.hang_up(CALL)
        assert not caught.value.gone

    @pytest.mark.parametrize("failure", [hangs_up, gives("no", 500), errors("1", 503), gives("<html>", 200)])
    async def test_a_repeated_order_is_one(self, failure: Any) -> None:
        async with served(failure, failure, PLACED) as http, client(http) as one:
            assert await one.dial(ORDER) == LEG
        assert len({asked.body["command_id"] for asked in http.asked}) == 1
        assert len(http.asked) == 3

    @pytest.mark.parametrize(
        "body", [{}, {"data": None}, {"data": {"call_control_id": 7}}, {"data": []}, [], "<html>", None]
    )
    async def test_an_answer_that_names_no_call(self, body: Any) -> None:
        async with served(gives(body)) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
        assert caught.value.unclear

    @pytest.mark.parametrize("call", [CALL, TEXML])
    async def test_commands_are_repeated_as_they_were(self, call: Call) -> None:
        async with served(hangs_up, gives("no", 502), OK) as http, client(http) as one:
            await one.hang_up(call)
        assert len(http.asked) == 3
        assert http.asked[0].body == http.asked[1].body == http.asked[2].body

    async def test_a_transfer_by_document_is_not_repeated(self) -> None:
        async with served(hangs_up) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.transfer(TEXML, "+1", from_=None, timeout_seconds=20, result_url="https://h.example/")
            assert caught.value.unclear
            assert len(http.asked) == 1

    @pytest.mark.parametrize("call", [CALL, TEXML])
    async def test_too_many_requests(self, call: Call) -> None:
        async with served(gives({}, 429, Retry_After="3"), OK) as http, client(http) as one:
            await one.hang_up(call)
            assert waited(one) == [3]

    async def test_a_wait_that_is_too_long(self) -> None:
        async with served(gives({}, 429, Retry_After="3600")) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.dial(ORDER)
            assert (len(http.asked), waited(one)) == (1, [])
        assert (caught.value.status, caught.value.unclear) == (429, False)

    @pytest.mark.parametrize("call", [CALL, TEXML])
    async def test_nobody_there(self, call: Call, free_port: int) -> None:
        async with client(FakeHttp(f"http://127.0.0.1:{free_port}")) as one:
            with pytest.raises(CarrierError) as caught:
                await one.hang_up(call)
            assert len(waited(one)) == 2
        assert (caught.value.unclear, caught.value.message) == (False, "Telnyx cannot be reached.")

    async def test_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with served(never_in_time(monkeypatch), PLACED) as http, client(http) as one:
            assert await one.dial(ORDER) == LEG
        assert len({asked.body["command_id"] for asked in http.asked}) == 1

    async def test_a_second_call_while_the_first_opens(self) -> None:
        async with served(OK) as http, client(http) as one:
            await asyncio.gather(one.hang_up(CALL), one.hang_up(CALL))
            assert len(http.asked) == 2

    async def test_no_secret_is_told(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        async def quotes(request: web.Request) -> web.StreamResponse:
            error = {"code": "10009", "detail": request.headers["Authorization"] + await request.text()}
            return web.json_response({"errors": [error]}, status=401)

        async with served(quotes) as http, client(http) as one:
            with pytest.raises(CarrierError) as caught:
                await one.restream(CALL, STREAM, "")
            with pytest.raises(CarrierError):
                await one.hang_up(TEXML)
        told = caplog.text + repr(caught.value) + str(caught.value)
        assert KEY not in told
        assert TOKEN not in told
        assert caught.value.__context__ is None or caught.value.__suppress_context__
