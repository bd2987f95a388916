"""Every sample of the public documentation, as printed, host and key apart, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests import forks
from tests.acceptance.samples import Documentation, Sample, as_typed
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("documentation")]

KEY = "sk_live_" + "d0c5" * 10
SCRIPT = {
    "languages": ["de", "en"],
    "recognition": {"de": ["Ich möchte meine Bestellung ändern"], "en": ["How can I help you?"]},
    "translation": {"de>en": {"Ich möchte meine Bestellung ändern": "I want to change my order"}},
    "synthesis": {"ms_per_character": 10},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("documentation")
    script = folder / "scripted.json"
    script.write_text(json.dumps(SCRIPT), encoding="utf-8")
    data = folder / "data"
    environment = {"KALLGLOT_DATA_DIR": str(data), "KALLGLOT_BOOTSTRAP_API_KEY": KEY}
    for number in ("+19788006140", "+14155551234"):
        forks.run(["numbers", "add", number], os.environ | environment).check_returncode()
    with ServerProcess(data, api_key=KEY, scripted=script) as process:
        yield process


def typed(command: str) -> dict[str, Any]:
    """Types a command into a shell; the body that curl printed. ``uuidgen`` is not on every machine."""
    shell = f"uuidgen() {{ echo {uuid.uuid4()}; }}\n{command} --silent --show-error --fail-with-body"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def stream_of(xml: str) -> tuple[str, str | None]:
    """The stream address and the token parameter of TwiML or TeXML.

    The documented Twilio samples hand ``parameters`` to the SDK's ``stream()``, which today's SDK writes as an
    attribute instead of ``<Parameter>``: what leaves the customer's server has no token, whatever answers it.
    """
    url = re.search(r'<Stream url="([^"]+)"', xml)
    token = re.search(r'<Parameter name="token" value="([^"]+)"', xml)
    assert url, xml
    return url.group(1), token.group(1) if token else None


def test_quickstart_with_curl(documentation: Documentation, server: ServerProcess) -> None:
    create, end, transcript = documentation.curls("quickstart.txt")
    session = typed(as_typed(create, server.url, KEY))
    printed = {"id", "object", "status", "mode", "source_language", "target_language", "stream", "call", "created_at"}
    assert printed <= session.keys()
    assert session["object"] == "session"
    assert session["status"] == "created"
    assert (session["provider"], session["phone_number"], session["call"]) == ("twilio", "+19788006140", None)
    assert session["stream"].keys() == {"url", "token", "expires_at"}
    assert session["stream"]["token"].startswith("kst_live_")
    ended = typed(as_typed(end, server.url, KEY, session["id"]))
    assert {"id", "object", "status", "duration_seconds", "ended_at"} <= ended.keys()
    assert ended["status"] == "ended"
    found = typed(as_typed(transcript, server.url, KEY, session["id"]))
    assert {"id", "object", "session_id", "status", "turns", "metadata"} <= found.keys()
    assert (found["object"], found["status"], found["turns"]) == ("transcript", "completed", [])


def test_quickstart_in_javascript(
    documentation: Documentation, server: ServerProcess, node: str, tmp_path: Path
) -> None:
    create = documentation.curls("quickstart.txt")[0]
    session = typed(as_typed(create, server.url, KEY))
    connect = documentation.between("quickstart.txt", "async function connectToSession", r"\}")
    send = documentation.between("quickstart.txt", "// Send audio", r"\}")
    after = f"""
      const ws = await connectToSession({session["id"]!r}, {session["stream"]["token"]!r});
      const loud = Buffer.from(Array.from({{ length: 160 }}, (_, n) => (n % 8 < 4 ? 0x10 : 0x90))).toString('base64');
      const silent = Buffer.alloc(160, 0xff).toString('base64');
      let frames = 0;
      ws.on('message', (raw) => {{
        const data = JSON.parse(raw);
        if (data.type === 'playback.finished') ws.send(JSON.stringify({{ type: 'session.end' }}));
        if (data.type !== 'session.ready') return;
        const timer = setInterval(() => {{
          if (ws.readyState !== 1) return clearInterval(timer);
          sendAudio(ws, frames++ < 40 ? loud : silent, 'customer');
        }}, 20);
      }});
    """
    with Sample(node, server, tmp_path, f"{connect}\n{send}", after) as sample:
        assert sample.until("log", "Connected") == "Connected to Kallglot stream"
        sample.until("log", "Session ready")
        assert sample.until("log", "[Partial]").startswith("[Partial] customer: Ich möchte")
        assert sample.until("log", "[customer]") == "[customer] Ich möchte meine Bestellung ändern"
        assert sample.until("log", "→").strip() == "→ I want to change my order"
        assert sample.until("played") > 0
        assert sample.until("log", "Session ended") == "Session ended: explicit_end"
        assert not [told for told in sample.told if told["kind"] == "error"]
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}) as rest:
        turns = rest.get(f"/v1/sessions/{session['id']}/transcript").json()["turns"]
    assert turns[0]["text"] == "Ich möchte meine Bestellung ändern"
    assert turns[0]["translation"] == {"language": "en", "text": "I want to change my order"}


def test_the_excerpt_is_the_quickstart(documentation: Documentation) -> None:
    """The excerpt lost its line ends on its way, and with them the ends of its comments; the code is the same."""

    def bare(text: str) -> str:
        return re.sub(r"\s+", "", text)

    excerpt = bare(documentation.text("quickstart-excerpt.txt"))
    assert bare(documentation.between("quickstart.txt", "async function connectToSession", r"\}")) in excerpt
    assert bare(documentation.between("quickstart.txt", "// Send audio", r"\}")) in excerpt


@pytest.mark.parametrize("nth", [0, 1])
def test_the_older_create(documentation: Documentation, server: ServerProcess, nth: int) -> None:
    session = typed(as_typed(documentation.curls("create-session-older.txt")[nth], server.url, KEY))
    assert session["provider"] == {"type": "twilio", "phone_number": "+14155551234", "status": "pending"}
    assert session["recording"] == {"enabled": True, "channels": "dual"}
    assert session["metadata"] == {"customer_id": "cust_123", "ticket_id": "ticket_456"}
    assert (session["source_language"], session["target_language"], session["status"]) == ("de", "en", "created")


@pytest.mark.parametrize(
    ("document", "route", "form"),
    [
        ("providers-older.txt", "/webhooks/twilio/voice", True),
        ("providers-older.txt", "/webhooks/telnyx/voice", False),
        ("sessions-vs-calls.txt", "/twilio/incoming", True),
    ],
)
def test_an_inbound_webhook_under_express(
    documentation: Documentation,
    server: ServerProcess,
    node: str,
    tmp_path: Path,
    document: str,
    route: str,
    form: bool,
) -> None:
    source = documentation.between(document, f"app.post('{route}'", r"\}\);")
    with Sample(node, server, tmp_path, source) as sample:
        port = sample.until("listening")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as carrier:
            if form:
                answer = carrier.post(route, data={"CallSid": "CA123", "From": "+4915123456789", "To": "+14155551234"})
            else:
                payload = {"call_control_id": "v3:abc", "from": "+4915123456789", "to": "+14155551234"}
                answer = carrier.post(route, json={"data": {"event_type": "call.initiated", "payload": payload}})
        created = sample.until("created")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    session = created["body"]
    assert created["status"] == 201
    assert created["deprecation"]
    expected = {"type": "twilio", "call_sid": "CA123"} if form else {"type": "telnyx", "call_control_id": "v3:abc"}
    assert expected.items() <= session["provider"].items()
    url, token = stream_of(answer.text)
    assert url == session["stream"]["url"]
    assert token == (None if form else session["stream"]["token"])


def test_an_outbound_call_of_the_clients_own(
    documentation: Documentation, server: ServerProcess, node: str, tmp_path: Path
) -> None:
    source = documentation.between("providers-older.txt", "// Create session first", r"\}\);", nth=0)
    rest = documentation.between("providers-older.txt", "// Initiate outbound call", r"\}\);")
    with Sample(node, server, tmp_path, f"{source}\n{rest}") as sample:
        session = sample.until("created")["body"]
        call = sample.until("called")
    assert session["provider"]["phone_number"] == "+14155551234"
    assert call["url"].endswith(f"?session_id={session['id']}")


def test_a_sip_session(documentation: Documentation, server: ServerProcess, node: str, tmp_path: Path) -> None:
    text = documentation.text("providers-older.txt")
    at = text.index("provider: {\n    type: 'sip'")
    start = text.rindex("const session", 0, at)
    source = text[start : text.index("console.log(`SIP URI", at)]
    line = next(line for line in text.splitlines() if line.startswith("console.log(`SIP URI"))
    with Sample(node, server, tmp_path, source + line) as sample:
        created = sample.until("created")
        assert sample.until("log") == f"SIP URI: sip:{created['body']['id']}@sip.kallglot.com"
    assert created["status"] == 201
    assert created["body"]["provider"]["type"] == "sip"
    assert "your-sip-password" not in json.dumps(created["body"])


@pytest.mark.parametrize(
    ("document", "first", "last"),
    [
        ("providers-older.txt", "// Create session without provider", "// ... process and send audio"),
        ("sessions-vs-calls.txt", "// 1. Create session for browser-based voice", "// ... stream audio to WebSocket"),
    ],
)
def test_a_browser_without_a_provider(
    documentation: Documentation,
    server: ServerProcess,
    node: str,
    tmp_path: Path,
    document: str,
    first: str,
    last: str,
) -> None:
    source = documentation.between(document, first, re.escape(last))
    with Sample(node, server, tmp_path, source) as sample:
        created = sample.until("created")
        assert created["status"] == 201
        ready = sample.until("ready")
    assert ready["session_id"] == created["body"]["id"]
    assert created["body"]["mode"] == "ai_agent"


def test_several_participants(documentation: Documentation, server: ServerProcess, node: str, tmp_path: Path) -> None:
    source = documentation.between("sessions-vs-calls.txt", "// Conference session", r"\}\);")
    with Sample(node, server, tmp_path, source) as sample:
        session = sample.until("created")["body"]
    assert [(one["role"], one["language"]) for one in session["participants"]] == [("agent", "en"), ("customer", "de")]
