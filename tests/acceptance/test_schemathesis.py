"""The running server against its own OpenAPI document: no 5xx, no answer that is not documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.serverprocess import ServerProcess

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("stream")]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_no_5xx_and_no_undocumented_answer(scripted_server: ServerProcess) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [
            str(schemathesis),
            "run",
            f"{scripted_server.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {scripted_server.api_key}",
            "--checks",
            CHECKS,
            "--max-examples",
            "20",
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "generated" in done.stdout
