"""Every event reaches its receivers, in order, while the server is killed again and again."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.webhooks import kinds, measure
from tests.store.conftest import database_url, kind, postgres  # noqa: F401

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.xdist_group("webhooks")]


async def test_kill_9_loses_no_event(tmp_path: Path, database_url: str) -> None:  # noqa: F811
    figures = await measure(
        tmp_path,
        events=200,
        receivers=10,
        kill_every=4,
        kills=3,
        settings={"KALLGLOT_DATABASE_URL": database_url},
        patience_s=120,
    )
    assert figures.kills >= 1
    assert len(figures.events) == 200
    assert figures.failures() == []
    healthy = [one for one in figures.reports if one["kind"] == "healthy"]
    assert len(healthy) == kinds(10).count("healthy") == 7
    assert all(one["distinct"] == 200 and one["verified"] for one in healthy)
