"""The running server against its own OpenAPI document: no 5xx, no answer that is not documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("stream")]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def schemathesis(server: ServerProcess, api_key: str, *options: str) -> str:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{server.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {api_key}",
            "--checks",
            CHECKS,
            "--max-examples",
            "10",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def test_calls_of_a_test_key(scripted_server: ServerProcess) -> None:
    headers = {"Authorization": f"Bearer {scripted_server.api_key}"}
    wanted = {"name": "test", "livemode": False}
    made = httpx.post(f"{scripted_server.url}/v1/api_keys", json=wanted, headers=headers).raise_for_status()
    paths = "/v1/sessions$|/calls|/dial"
    assert "generated" in schemathesis(scripted_server, made.json()["secret"], "--include-path-regex", paths)


def test_no_5xx_and_no_undocumented_answer(scripted_server: ServerProcess) -> None:
    """But for what would ask a carrier, which is not there: that is a 502."""
    exclude = ("--exclude-operation-id", "dial", "--exclude-operation-id", "transfer_call")
    assert "generated" in schemathesis(scripted_server, scripted_server.api_key, *exclude)
