"""``kallglot credits``."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests import forks
from typer.testing import CliRunner, Result

from kallglot.cli.main import app


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KALLGLOT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("KALLGLOT_DATABASE_URL", raising=False)
    return tmp_path / "data" / "kallglot.sqlite3"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["credits", *words])


def test_granting_once_for_each_reference(data: Path) -> None:
    granted = run("grant", "25", "--reference", "invoice 7")
    assert (granted.exit_code, "1000025 are left" in granted.stdout) == (0, True)
    again = run("grant", "25", "--reference", "invoice 7")
    assert (again.exit_code, "nothing is changed" in again.stdout) == (0, True)
    assert run("grant", "25").exit_code == 0
    assert run("grant", "25").exit_code == 0
    shown = run("show").stdout
    assert "1000075" in shown
    assert "no allowance" in shown
    lines = run("ledger", "--limit", "3").stdout
    assert lines.count("+25") == 3
    assert "There are more" in lines
    assert "+1000000" in run("ledger").stdout
    audit = sqlite3.connect(data).execute("SELECT actor, action FROM audit_log WHERE actor <> 'system'").fetchall()
    assert audit == [("operator", "credits.granted")] * 3
    assert run("check").exit_code == 0


def test_what_cannot_be(data: Path) -> None:
    for words in (["grant", "0"], ["grant", "-5"], ["grant", "10000001"], ["grant", "5", "--reference", "x" * 81]):
        assert run(*words).exit_code == 2, words
    for words in (["show"], ["ledger"], ["grant", "5"]):
        missing = run(*words, "--org", "org_none")
        assert (missing.exit_code, "There is no organisation with the id org_none" in missing.stdout) == (1, True)


def test_the_check_says_which_line_is_wrong_and_ends_with_1(data: Path) -> None:
    assert run("check").exit_code == 0
    with sqlite3.connect(data) as database:
        database.execute("DROP TRIGGER credit_ledger_no_update")
        database.execute("UPDATE credit_ledger SET balance_after = 3")
        organization_id, line = database.execute("SELECT organization_id, id FROM credit_ledger").fetchone()
    checked = run("check")
    assert checked.exit_code == 1
    assert f"credit line {line} of organisation {organization_id} says 3 are left" in checked.stdout


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_settings_for_stripe_that_cannot_be_are_said(data: Path, tmp_path: Path, command: str) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"languages": ["de", "en"]}), encoding="utf-8")
    environment = {
        **os.environ,
        "KALLGLOT_SCRIPTED_ENGINES": str(script),
        "KALLGLOT_PORT": "0",
        "KALLGLOT_STRIPE_WEBHOOK_SECRET": "whsec_x",
        "KALLGLOT_STRIPE_PLANS": "price_x=gold",
    }
    done = forks.run([command], environment)
    assert done.returncode == {"serve": 2, "doctor": 1}[command], done.stderr
    assert "KALLGLOT_STRIPE_PLANS: expected price=plan" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(("days", "granted"), [(-1, 0), (30, 10_000), (364, 120_000)])
def test_a_better_plan_grants_as_much_as_the_period_that_is_on_has_months(data: Path, days: int, granted: int) -> None:
    assert CliRunner().invoke(app, ["orgs", "create", "Acme", "--plan", "starter"]).exit_code == 0
    end = datetime.now(UTC) + timedelta(days=days)
    start = end - timedelta(days=366 if days > 31 else 31)
    with sqlite3.connect(data) as database:
        moments = [moment.strftime("%Y-%m-%d %H:%M:%S.%f") for moment in (start, end)]
        database.execute("UPDATE organizations SET period_start = ?, period_end = ? WHERE name = 'Acme'", moments)
    said = CliRunner().invoke(app, ["orgs", "plan", "Acme", "pro"])
    assert said.exit_code == 0
    assert (f"{granted} credits were granted" if granted else "Acme") in said.stdout
    assert ("granted" in said.stdout) == (granted > 0)
