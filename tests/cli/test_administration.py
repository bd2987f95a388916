"""``kallglot orgs`` and ``kallglot keys``, on a database of their own and beside a server that runs."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serverprocess import ServerProcess
from typer.testing import CliRunner

from kallglot.accounts.model import SCOPES
from kallglot.cli import app

SECRET = re.compile(r"^sk_(live|test)_[A-Za-z0-9]{40}$", re.MULTILINE)
ORGANIZATION = re.compile(r"org_[0-9A-Z]{26}")
KEY = re.compile(r"key_[0-9A-Z]{26}")


@dataclass(frozen=True, slots=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """The command line with its data in a folder."""

    def __init__(self, data: Path, **settings: str) -> None:
        self._environment = {"KALLGLOT_DATA_DIR": str(data), **settings}

    def run(self, *words: str) -> Done:
        result = CliRunner().invoke(app, words, env=self._environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return Done(result.exit_code, result.stdout, result.stderr)

    def say(self, *words: str) -> str:
        """What it prints; it has to end well."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: str, status: int = 1) -> str:
        done = self.run(*words)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return " ".join((done.stdout + done.stderr).split())


def found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    assert match is not None, text
    return match[0]


def state_of(shell: Shell, key_id: str, *words: str) -> str:
    """The key's line of the list."""
    return next(line for line in shell.say("keys", "list", *words).splitlines() if key_id in line)


def test_the_first_key_of_the_default_organisation_is_told_whichever_command_comes_first(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data")
    first = shell.run("orgs", "list")
    assert first.returncode == 0
    assert SECRET.search(first.stdout) is None
    assert "sk_live_" in first.stderr
    assert "sk_live_" not in shell.run("orgs", "list").stderr


def test_organisations_and_their_keys(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data", KALLGLOT_BOOTSTRAP_API_KEY="sk_live_" + "0" * 40)
    made = shell.say("orgs", "create", "Acme", "--plan", "pro")
    acme, secret = found(ORGANIZATION, made), found(SECRET, made)
    listed = shell.say("orgs", "list")
    assert "Default" in listed
    assert acme in listed
    for name in (acme, "Acme"):
        assert "pro" in shell.say("orgs", "show", name)
    key_id = found(KEY, shell.say("keys", "list", "--org", "Acme"))
    assert secret not in shell.say("keys", "list", "--org", "Acme")
    assert acme not in shell.say("keys", "list"), "without --org it is the first organisation's"
    assert key_id not in shell.say("keys", "list")

    made = shell.say(
        "keys", "create", "--org", acme, "--name", "desk", "--test", "--scope", "sessions:read", "--days", "1"
    )
    assert made.startswith("sk_test_")
    desk = next(line for line in shell.say("keys", "list", "--org", acme).splitlines() if "desk" in line)
    assert "sessions:read" in desk
    assert "valid until" in desk
    rotated = shell.say("keys", "rotate", key_id, "--org", "Acme", "--hours", "1")
    assert found(SECRET, rotated) != secret
    assert "rotated, valid until" in state_of(shell, key_id, "--org", acme)
    assert "before" in shell.refused("keys", "rotate", key_id)
    assert "revoked" in shell.say("keys", "revoke", key_id)
    assert "before" in shell.say("keys", "revoke", key_id)
    assert "revoked" in state_of(shell, key_id, "--org", acme)
    assert "revoked" in shell.refused("keys", "rotate", key_id)

    shell.say("orgs", "rename", "Acme", "Acme & Sons [Ltd]")
    assert "Acme & Sons [Ltd]" in shell.say("orgs", "list")
    assert "enterprise" in shell.say("orgs", "plan", acme, "enterprise")
    assert "enterprise" in shell.say("orgs", "show", acme)


def test_words_for_what_does_not_exist_or_cannot_be(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "data", KALLGLOT_BOOTSTRAP_API_KEY="sk_live_" + "0" * 40)
    shell.say("orgs", "create", "Acme")
    for words in (("orgs", "show"), ("orgs", "suspend"), ("orgs", "activate"), ("keys", "list", "--org")):
        assert "no organisation with the name Nobody" in shell.refused(*words, "Nobody")
    assert "id org_none" in shell.refused("orgs", "rename", "org_none", "x")
    assert "called Acme already" in shell.refused("orgs", "create", "Acme")
    assert "called Default already" in shell.refused("orgs", "rename", "Acme", "Default")
    assert "no plan gold" in shell.refused("orgs", "create", "New", "--plan", "gold", status=2)
    assert "no plan gold" in shell.refused("orgs", "plan", "Acme", "gold", status=2)
    assert "1 to 200" in shell.refused("orgs", "create", "", status=2)
    assert "like an id" in shell.refused("orgs", "create", "org_mine", status=2)
    assert "Unknown scope root" in shell.refused("keys", "create", "--scope", "root", status=2)
    for act in ("revoke", "rotate"):
        assert "no key key_none" in shell.refused("keys", act, "key_none")
    default_key = found(KEY, shell.say("keys", "list"))
    assert f"Acme has no key {default_key}" in shell.refused("keys", "revoke", default_key, "--org", "Acme")
    assert "valid" in state_of(shell, default_key)
    scopes = shell.say("keys", "scopes")
    assert all(scope in scopes for scope in SCOPES)


@pytest.mark.server
async def test_beside_a_server_that_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with ServerProcess(data) as server:
        shell = Shell(data, KALLGLOT_BOOTSTRAP_API_KEY=server.api_key)

        async def say(*words: str) -> str:
            return await asyncio.to_thread(shell.say, *words)

        async def get(secret: str, path: str = "/v1/organization") -> tuple[int, dict[str, Any]]:
            async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
                response = await client.get(path, headers={"Authorization": f"Bearer {secret}"})
            return response.status_code, response.json()

        body = {"mode": "bidirectional_translation", "source_language": "en", "target_language": "en"}

        async def works(sessions: list[int], enough: asyncio.Event) -> None:
            """The server writes all the while."""
            async with server.rest() as client:
                while not enough.is_set():
                    sessions.append((await client.post("/v1/sessions", json=body)).status_code)

        sessions: list[int] = []
        enough = asyncio.Event()
        busy = asyncio.create_task(works(sessions, enough))
        made = await say("orgs", "create", "Acme")
        acme, secret = found(ORGANIZATION, made), found(SECRET, made)
        assert (await get(secret))[1]["id"] == acme
        await say("orgs", "suspend", "Acme")
        status, refused = await get(secret)
        assert (status, refused["error"]["code"]) == (403, "organization_suspended")
        await say("orgs", "activate", "Acme")
        new = found(
            SECRET, await say("keys", "rotate", found(KEY, await say("keys", "list", "--org", "Acme")), "--hours", "0")
        )
        status, refused = await get(secret)
        assert (status, refused["error"]["code"]) == (401, "expired_api_key")
        status, told = await get(new, "/v1/audit_log")
        assert status == 200
        assert {one["actor"]["type"] for one in told["data"]} == {"operator"}
        assert [one["action"] for one in told["data"]] == [
            "api_key.rotated",
            "organization.activated",
            "organization.suspended",
            "api_key.created",
            "organization.created",
        ]
        assert secret not in str(told)
        assert new not in str(told)
        enough.set()
        await busy
        assert len(sessions) > 1
        assert set(sessions) == {201}
