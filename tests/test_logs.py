"""Log lines: what they hold, and above all what they don't."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.acceptance.client import StreamClient
from tests.acceptance.telephony import NUMBER, SILENCE, agent, connected, newest_session
from tests.fakes.twilio import ACCOUNT_SID, AUTH_TOKEN, FakeTwilio
from tests.serverprocess import KEY, ServerProcess

from kallglot import logs

WORDS = ("Zwiebelfisch", "Quastenflosser", "Pumpernickel", "Hinterzimmer")
SCRIPT = {
    "languages": ["de", "en"],
    "recognition": {"de": [WORDS[0], WORDS[1]], "en": [WORDS[2]]},
    "translation": {"de>en": {WORDS[0]: WORDS[3]}},
}
SPEECH = (np.sign(np.sin(2 * np.pi * 500 * np.arange(4800) / 8000)) * 12000).astype("<i2").tobytes()
CONNECTION = {"carrier": "twilio", "account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*logs.QUIET, *logs.SILENT)}
    for handler in handlers:
        root.removeHandler(handler)
    yield io.StringIO()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_text_line_says_when_what_and_whose(lines: io.StringIO) -> None:
    logs.configure("info", "text", stream=lines)
    token = logs.request_id.set("req_1")
    with logs.of_session("sess_1"):
        logging.getLogger("kallglot.some").info("%d things\nhappened", 2)
    logs.request_id.reset(token)
    logging.getLogger("kallglot.some").info("nobody's")
    first, second = lines.getvalue().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z INFO    kallglot.some: 2 things\\nhappened \[req_1 sess_1\]", first
    )
    assert second.endswith("kallglot.some: nobody's")


def test_a_json_line_has_its_fields(lines: io.StringIO) -> None:
    logs.configure("info", "json", stream=lines)
    logging.getLogger("kallglot.some").warning("ö", extra={"status": 204, "session_id": "sess_2"})
    line = json.loads(lines.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "warning",
        "logger": "kallglot.some",
        "message": "ö",
        "request_id": None,
        "session_id": "sess_2",
        "status": 204,
    }


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        ("key sk_live_0123456789abcdef0123", "0123456789"),
        ("wss://h/v1/sessions/s/connect?token=kst_live_abc.def&x=1", "abc"),
        ("GET /?a=1&token=whatever-it-is", "whatever"),
        ("Authorization: Bearer very.secret.thing", "secret"),
        ("secret whsec_AbCdEf0123", "AbCdEf"),
        ("postgresql://user:pass@host/db", "pass"),
        ("the number +4915112345678 is busy", "15112345678"),
        ("sip:%2B4915112345678", "15112345678"),
    ],
)
def test_what_looks_secret_is_taken_out(lines: io.StringIO, form: Any, said: str, hidden: str) -> None:
    logs.configure("info", form, stream=lines)
    logging.getLogger("x").error("it says %s", said, extra={"also": said})
    assert "it says" in lines.getvalue()
    assert hidden not in lines.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_says_where_and_not_what_was_said(lines: io.StringIO, form: Any) -> None:
    logs.configure("info", form, stream=lines)

    def parse(text: str) -> None:
        try:
            {}[text]
        except KeyError:
            raise ValueError(f"cannot read {text}") from None

    try:
        parse("Zwiebel" + "fisch")
    except ValueError:
        logging.getLogger("x").exception("parsing failed")
    said = lines.getvalue()
    assert "parsing failed" in said
    assert "ValueError" in said
    assert "in parse" in said
    assert "Zwiebelfisch" not in said


def test_the_systems_own_words_are_kept(lines: io.StringIO) -> None:
    logs.configure("info", "text", stream=lines)
    try:
        Path("/nowhere/at/all").read_text()
    except OSError:
        logging.getLogger("x").exception("reading failed")
    assert "FileNotFoundError: No such file or directory" in lines.getvalue()


def test_libraries_that_log_what_they_are_given_are_quiet(lines: io.StringIO) -> None:
    logs.configure("debug", "text", stream=lines)
    for name in ("httpx", "aiosqlite", "sqlalchemy.engine", "telnyx._base_client", "twilio.http_client", "picows"):
        logging.getLogger(name).info("https://api.example.com/?secret=1")
        logging.getLogger(name).warning("%s warns", name)
    logging.getLogger("opentelemetry.sdk").error("again and again")
    said = lines.getvalue()
    assert "secret" not in said
    assert "again" not in said
    assert said.count("warns") == 6


async def test_a_task_keeps_its_session(lines: io.StringIO) -> None:
    logs.configure("info", "text", stream=lines)

    async def work() -> None:
        await asyncio.sleep(0)
        logging.getLogger("x").info("at work")

    with logs.of_session("sess_3"):
        task = asyncio.create_task(work())
    await task
    assert "at work [sess_3]" in lines.getvalue()


@pytest.fixture
async def twilio() -> AsyncIterator[FakeTwilio]:
    async with FakeTwilio(insecure=True) as made:
        yield made


@pytest.fixture
def server(tmp_path: Path, twilio: FakeTwilio, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    settings = {"KALLGLOT_TWILIO_API_URL": twilio.api_url, "KALLGLOT_LOG_FORMAT": request.param}
    with ServerProcess(tmp_path / "data", scripted=script, settings=settings) as made:
        yield made


@pytest.mark.server
@pytest.mark.parametrize("server", ["text", "json"], indirect=True)
async def test_a_conversation_and_a_call_leave_nothing_private(server: ServerProcess, twilio: FakeTwilio) -> None:
    secrets = [*WORDS, NUMBER, NUMBER[1:], KEY, ACCOUNT_SID, AUTH_TOKEN, "Mustermann", "geheimnis"]
    # A conversation over a native stream, typed and spoken, with metadata, terms and a webhook address.
    async with server.rest() as rest:
        body = {
            "mode": "bidirectional_translation",
            "source_language": "de",
            "target_language": "en",
            "metadata": {"name": "Mustermann"},
            "transcription": {"terms": ["Mustermann"]},
            "webhook_url": "https://hooks.invalid/geheimnis?token=geheimnis",
        }
        session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
        secrets.append(session["stream"]["token"])
        customer = await StreamClient.open(
            session["stream"]["url"], session["stream"]["token"], "&participant=customer"
        )
        await customer.until("session.ready")
        await customer.say(speaker=None)
        await customer.until("transcript.final")
        await customer.send({"type": "text.input", "text": "Mustermann sagt geheimnis"})
        await customer.until("transcript.final")
        await customer.send({"type": "nonsense", "text": "Mustermann"})
        await customer.until("error")
        # Refused requests, with something private in each place.
        await rest.get("/v1/nothing/Mustermann?token=geheimnis")
        await rest.post("/v1/sessions", json={"mode": "Mustermann"})
        await rest.post("/v1/phone_numbers", json={"number": NUMBER, "connection_id": "geheimnis"})
        await rest.get("/v1/sessions", headers={"Authorization": "Bearer sk_live_geheimnis"})
    # A telephone call in, a call out that the carrier refuses.
    connection_id = await connected(server, CONNECTION)
    at = f"{server.url}/v1/carriers/twilio/{connection_id}"
    call = await twilio.incoming(f"{at}/voice", to=NUMBER, status_callback=f"{at}/status")
    secrets += [call.from_, call.from_[1:]]
    await call.streaming()
    theirs = await newest_session(server)
    colleague = await agent(server, theirs["id"])
    call.say(SPEECH + SILENCE)
    await colleague.until("transcript.final")
    await call.hang_up()
    await colleague.until("session.ended")
    async with server.rest() as rest:
        await rest.post(f"/v1/sessions/{session['id']}/dial", json={"to": "+4915199988877"})
        secrets.append("15199988877")
        await rest.post(f"/v1/sessions/{session['id']}/end")
    server.terminate()
    log = server.log
    assert not [one for one in secrets if one in log]
    assert "{session_id}" in log
    assert session["id"] in log
    assert re.search(r"POST /v1/sessions 201|\"route\": \"/v1/sessions\", \"status\": 201", log)
    if log.lstrip().startswith("{"):
        parsed = [json.loads(line) for line in log.splitlines()]
        assert {"timestamp", "level", "logger", "message", "request_id", "session_id"} <= parsed[0].keys()
        access = [line for line in parsed if line["logger"] == logs.ACCESS]
        assert all(line["request_id"].startswith("req_") for line in access)
        assert not [line for line in access if line["route"] in ("/readyz", "/metrics")]
    # No lines by frame: a call of seconds is some dozens.
    assert len(log.splitlines()) < 100
