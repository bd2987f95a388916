"""What the page on webhooks says: its code checks real signatures, its samples are what is sent."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from kallglot.api import samples
from kallglot.clock import FakeClock
from kallglot.webhooks.letters import letter
from kallglot.webhooks.model import EVENT_TYPES, envelope
from kallglot.webhooks.signatures import signed

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def python(name: str) -> Any:
    """The function of this name, from the page."""
    source = next(block for block in blocks("python") if f"def {name}(" in block)
    found: dict[str, Any] = {}
    exec(compile(source, f"docs/webhooks.md: {name}", "exec"), found)
    return found[name]


def delivery(*keys: str, age_s: float = 0) -> tuple[bytes, dict[str, str]]:
    """Body and headers, as they are sent."""
    now = datetime.now(UTC) - timedelta(seconds=age_s)
    event = samples.event("session.ended", "org_sample", True, now)
    body = letter(event).body
    return body, signed(body, keys, now=now, event_id=event.id, event_created_at=now, delivery_id="wh_del_1", retries=0)


def test_with_the_library() -> None:
    read = python("read")
    body, headers = delivery(SECRET)
    assert read(body, headers, SECRET) == json.loads(body)
    assert read(*delivery(OTHER, SECRET), SECRET)["type"] == "session.ended"
    for wrong in ((body, headers, OTHER), (body + b" ", headers, SECRET), (*delivery(SECRET, age_s=301), SECRET)):
        with pytest.raises(WebhookVerificationError):
            read(*wrong)


CASES = [
    ((SECRET,), SECRET, 0, b"", True),
    ((OTHER, SECRET), SECRET, 0, b"", True),
    ((SECRET, OTHER), SECRET, 0, b"", True),
    ((SECRET,), OTHER, 0, b"", False),
    ((SECRET,), SECRET, 0, b" ", False),
    ((SECRET,), SECRET, 310, b"", False),
    ((SECRET,), SECRET, -310, b"", False),
]
NONE = ["", "t=", "v1=", "t=x,v1=y", "t=1774522800", "v1=ü,t=9", ",,==,", "t=" + "9" * 40 + ",v1=00"]


@pytest.mark.parametrize(("keys", "secret", "age_s", "added", "valid"), CASES)
def test_with_nothing_but_python(keys: tuple[str, ...], secret: str, age_s: float, added: bytes, valid: bool) -> None:
    body, headers = delivery(*keys, age_s=age_s)
    assert python("verify")(body + added, headers["Kallglot-Signature"], secret) is valid


@pytest.mark.parametrize("header", NONE)
def test_headers_that_are_none(header: str) -> None:
    assert python("verify")(b"{}", header, SECRET) is False


def test_with_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    asked: list[tuple[str, str, str]] = []
    for keys, secret, age_s, added, _ in CASES:
        body, headers = delivery(*keys, age_s=age_s)
        asked.append(((body + added).decode(), headers["Kallglot-Signature"], secret))
    asked += [("{}", header, SECRET) for header in NONE]
    [source] = blocks("javascript")
    script = f"{source}\nconst asked = {json.dumps(asked)};\n" + (
        "console.log(JSON.stringify(asked.map(([body, header, secret]) => verify(Buffer.from(body), header, secret))));"
    )
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [valid for *_, valid in CASES] + [False] * len(NONE)


def test_there_is_a_sample_of_every_event_and_of_nothing_else() -> None:
    assert tuple(json.loads(block)["type"] for block in blocks("json")) == EVENT_TYPES
    assert tuple(re.findall(r"^### ([a-z_]+\.[a-z_.]+)$", PAGE, re.MULTILINE)) == EVENT_TYPES


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_sample_is_what_is_sent(kind: str) -> None:
    sent = dict(envelope(samples.event(kind, "org_sample", True, FakeClock().now())))
    assert sent.pop("test") is True
    [shown] = [one for one in map(json.loads, blocks("json")) if one["type"] == kind]
    assert shown == sent | {"id": "evt_sample"}
