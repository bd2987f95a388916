"""Every request of ours against the carriers' own OpenAPI descriptions, which Prism serves and validates."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import yaml
from tests.carriers.fakehttp import Redirected

from kallglot.carriers.client import Order, Stream
from kallglot.carriers.model import Call, Connection
from kallglot.carriers.telnyx import TelnyxClient
from kallglot.carriers.twilio import TwilioClient

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prism")]

PRISM = "5.16.0"
NOW = datetime(2026, 3, 26, 11, 0, tzinfo=UTC)
ORDER = Order(
    "call_1",
    "+15550000001",
    "+15550000002",
    "https://h.example/answer",
    "https://h.example/status",
    "https://h.example/amd",
    Stream("wss://h.example/v1/sessions/sess_1/connect", {"token": "kst_live_1"}),
    send_digits="ww12#",
    machine_detection=True,
)
CALL = Call("call_1", "sess_1", "org_1", True, "twilio", "outbound", "in_progress", NOW)
ACCOUNT = "AC" + "0" * 32


@pytest.fixture(scope="module")
def specs() -> Path:
    folder = Path(os.environ.get("KALLGLOT_SPECS", Path(__file__).parents[3] / "shared" / "specs"))
    if not folder.is_dir():
        pytest.skip(f"the carriers' OpenAPI descriptions are not at {folder}; KALLGLOT_SPECS says where they are")
    return folder


@pytest.fixture(scope="module")
def program(specs: Path) -> Path:
    """Prism, outside of the repository: it is 74 MB."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kallglot" / f"prism-{PRISM}"
    found = cache / "node_modules" / ".bin" / "prism"
    if not found.exists():
        assert shutil.which("npm"), "npm is missing; make test installs it"
        cache.mkdir(parents=True, exist_ok=True)
        package = f"@stoplight/prism-cli@{PRISM}"
        command = ["npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "--ignore-scripts", package]
        subprocess.run(command, check=True, timeout=300)
    return found


@contextmanager
def mocked(program: Path, spec: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(program), "mock", "-h", "127.0.0.1", "-p", str(port), str(spec)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    deadline = threading.Timer(120, process.kill)
    deadline.start()
    try:
        told: list[str] = []
        for line in process.stdout:
            told.append(line)
            if "Prism is listening on" in line:
                break
        else:
            raise AssertionError("Prism did not start:\n" + "".join(told))
        deadline.cancel()
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        deadline.cancel()
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def twilio(program: Path, specs: Path) -> Iterator[str]:
    with mocked(program, specs / "twilio_api_v2010.patched.json") as url:
        yield url


@pytest.fixture(scope="module")
def telnyx(program: Path, specs: Path) -> Iterator[str]:
    with mocked(program, specs / "telnyx.yml") as url:
        yield url


class Validated(Redirected):
    """Keeps what was sent and what Prism found wrong with it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[tuple[str, set[str]]] = []
        self.violations: list[str] = []

    async def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        response = await super().request(method, url, *args, **kwargs)
        self.sent.append((f"{method} {url}", set(kwargs.get("data") or kwargs.get("params") or {})))
        self.violations += _violations(response.headers)
        return response


def _violations(headers: Any) -> list[str]:
    """Of the request; Prism also tells what is wrong with its own answers."""
    found = json.loads(headers.get("sl-violations", "[]"))
    return [json.dumps(one) for one in found if one.get("location", ["request"])[0] == "request"]


async def test_twilio(twilio: str, specs: Path) -> None:
    settings = {"account_sid": ACCOUNT}
    connection = Connection("pcon_1", "org_1", "twilio", "Main", NOW, settings=settings, secrets={"auth_token": "x"})
    call = replace(CALL, carrier_call_id="CA" + "1" * 32)
    http = Validated(twilio)
    one = TwilioClient(connection, http)
    assert (await one.dial(ORDER)).startswith("CA")
    await one._recent(ORDER)
    await one.hang_up(call)
    await one.transfer(call, "+15550000003", from_="+15550000002", timeout_seconds=20, result_url="https://h.example/r")
    await one.restream(call, ORDER.stream, ORDER.answer_url)
    await one.close()

    assert not http.violations
    paths = json.loads((specs / "twilio_api_v2010.patched.json").read_text())["paths"]
    calls = paths["/2010-04-01/Accounts/{AccountSid}/Calls.json"]
    update = paths["/2010-04-01/Accounts/{AccountSid}/Calls/{Sid}.json"]["post"]
    listed = {one["name"] for one in calls["get"]["parameters"] if one["in"] == "query"}
    known = [_form_fields(calls["post"]), listed, *[_form_fields(update)] * 3]
    assert len(http.sent) == len(known)
    for (request, fields), names in zip(http.sent, known, strict=True):
        assert fields, request
        assert fields <= names, request


async def test_telnyx(telnyx: str, specs: Path) -> None:
    settings = {"call_control_app_id": "7267", "account_sid": "acc1"}
    connection = Connection("pcon_2", "org_1", "telnyx", "Main", NOW, settings=settings, secrets={"api_key": "KEY1"})
    call = replace(CALL, carrier="telnyx", carrier_call_id="v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ")
    texml = replace(call, details={"product": "texml"})
    sent: list[tuple[str, set[str]]] = []
    violations: list[str] = []

    async def keep(response: httpx.Response) -> None:
        request = response.request
        if request.headers["content-type"] == "application/json":
            fields = set(json.loads(request.content))
        else:
            fields = set(parse_qs(request.content.decode(), keep_blank_values=True))
        sent.append((request.url.path.rpartition("/")[2] if request.url.path.startswith("/calls") else "texml", fields))
        violations.extend(_violations(response.headers))

    one = TelnyxClient(connection, telnyx)
    await one.open()
    assert one._http is not None
    one._http.event_hooks = {"response": [keep]}
    assert await one.dial(ORDER)
    await one.answer(call, ORDER.stream)
    await one.restream(call, ORDER.stream, ORDER.answer_url)
    assert await one.send_digits(call, "12w#")
    for which in (call, texml):
        await one.transfer(
            which, "+15550000003", from_="+15550000002", timeout_seconds=20, result_url="https://h.example/"
        )
        await one.hang_up(which)
    await one.restream(texml, ORDER.stream, ORDER.answer_url)
    await one.reject(call.carrier_call_id or "", busy=True)
    await one.close()

    assert not violations
    schemas = _schemas(specs / "telnyx.yml")
    known = {
        "calls": "CallRequest",
        "answer": "AnswerRequest",
        "streaming_start": "StartStreamingRequest",
        "send_dtmf": "SendDTMFRequest",
        "transfer": "TransferCallRequest",
        "hangup": "HangupRequest",
        "texml": "UpdateCallRequest",
        "reject": "RejectRequest",
    }
    assert [kind for kind, _ in sent] == [*list(known)[:6], "texml", "texml", "texml", "reject"]
    for kind, fields in sent:
        assert fields <= set(schemas[known[kind]]["properties"]), kind


async def test_prism_would_tell(twilio: str, telnyx: str) -> None:
    async with httpx.AsyncClient() as http:
        form = {"To": "+15550000001", "Url": "https://h.example/"}
        url = f"{twilio}/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        refused = [await http.post(url, data=form, auth=(ACCOUNT, "x"))]
        body = {"connection_id": "7267", "from": "+15550000002"}
        refused.append(await http.post(f"{telnyx}/calls", json=body, headers={"Authorization": "Bearer KEY1"}))
    assert [response.status_code for response in refused] == [422, 422]
    assert "From" in refused[0].text
    assert "'to'" in "".join(_violations(refused[1].headers))


def _form_fields(operation: Any) -> set[str]:
    return set(operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"])


def _schemas(spec: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(spec.read_text(encoding="utf-8"), loader)["components"]["schemas"]
