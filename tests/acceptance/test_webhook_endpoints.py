"""Webhook endpoints of a real server, from being made to what reaches a real receiver."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests import forks
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("webhooks")]

OBJECT = {"mode": "bidirectional_translation", "source_language": "de", "target_language": "en"}
Got = tuple[str, dict[str, str], bytes]


class Receiver:
    """Takes what is posted to it, in order."""

    def __init__(self) -> None:
        got: queue.Queue[Got] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._got = got
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next(self) -> Got:
        return self._got.get(timeout=30)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def event(got: Got, secret: str) -> dict[str, Any]:
    """What was received, its signature checked."""
    _, headers, body = got
    found = Webhook(secret).verify(body, headers)
    assert headers["webhook-id"] == found["id"]
    return found


def test_from_an_endpoint_to_its_events(receiver: Receiver, tmp_path: Path, script: Path) -> None:
    data, allowed = tmp_path / "data", {"KALLGLOT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with (
        ServerProcess(data, scripted=script, settings=allowed) as server,
        httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.api_key}"}, timeout=30) as rest,
    ):

        def post(path: str, body: Any = None) -> dict[str, Any]:
            answer = rest.post(path, json=body) if body is not None else rest.post(path)
            assert answer.is_success, answer.text
            return answer.json()

        one = post("/v1/webhook_endpoints", {"url": f"{receiver.url}/all"})
        tested = post(f"/v1/webhook_endpoints/{one['id']}/test", {"type": "recording.ready"})
        got = receiver.next()
        sample = event(got, one["secret"])
        assert (sample["type"], sample["test"], got[0]) == ("recording.ready", True, "/all")
        assert got[1]["kallglot-webhook-id"] == tested["id"]

        rotated = post(f"/v1/webhook_endpoints/{one['id']}/rotate_secret", {"expires_in_seconds": 600})
        own_secret = post("/v1/organization/webhook_secret/rotate")["secret"]
        own = post("/v1/sessions", {**OBJECT, "webhook_url": f"{receiver.url}/own"})
        got = receiver.next()
        assert (got[0], event(got, own_secret)["data"]["id"]) == ("/own", own["id"])

        # The operator's shell is another process; the server finds what it leaves.
        environment = os.environ | {"KALLGLOT_DATA_DIR": str(data), "KALLGLOT_BOOTSTRAP_API_KEY": server.api_key}
        done = forks.run(["webhooks", "resend", tested["id"]], environment)
        assert done.returncode == 0, done.stdout + done.stderr
        got = receiver.next()
        assert (got[0], got[1]["kallglot-webhook-id"]) == ("/all", done.stdout.strip())
        assert {event(got, secret)["id"] for secret in (one["secret"], rotated["secret"])} == {sample["id"]}

        session = post("/v1/sessions", OBJECT)
        told = event(receiver.next(), rotated["secret"])
        assert (told["type"], told["data"]["id"]) == ("session.created", session["id"])
        assert "whsec_" not in server.log
