"""Endpoints at addresses that nothing is sent to, by the courier's own path, seen at the socket."""

from __future__ import annotations

from typing import Any

import pytest
from tests.webhooks.conftest import Office
from tests.webhooks.test_addresses import FORBIDDEN, HOSTS
from tests.webhooks.test_client import connects, names  # noqa: F401

from kallglot.webhooks.client import SafeClient

URLS = (
    *(f"https://{host}/" for host in HOSTS),
    *(f"https://[{one}]/" if ":" in one else f"https://{one}:8443/x" for one in FORBIDDEN),
    *(
        f"https://{host}/"
        for host in ("localhost", "LOCALHOST", "localhost.", "127.0.0.1.", "[::1%25lo]", "[fe80::1%1]")
    ),
    *(f"http://{host}/" for host in ("127.0.0.1", "8.8.8.8", "8.8.8.8:443", "169.254.169.254")),
    *(f"https://8.8.8.8:{port}/" for port in (0, 22, 25, 80, 6379, 65536)),
    "https://8.8.8.8@127.0.0.1/",
    "https://127.0.0.1#@8.8.8.8/",
    "https://127.0.0.1\\@8.8.8.8/",
    "https://8.8.8.8\\@127.0.0.1/",
    "https://8.8.8.8/ HTTP/1.1\r\nX-A: b\r\n\r\nGET /",
    "https://8.8.8.8\r\nHost: localhost/",
    "https://８.8.8.8/",
    "https://①②⑦.0.0.1/",
    "https://ⓛocalhost/",
    "https://127。0。0。1/",
    "https://xn--\x01/",
    "https://[::ffff:7f00:1]/",
    "https://[/",
    "https:///etc/passwd",
    "https:127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stats",
    "unix:///run/docker.sock",
    "",
)


def test_the_table_is_long_enough() -> None:
    assert len(set(URLS)) == len(URLS) >= 60


async def test_no_connection_is_begun(office: Office, connects: list[Any]) -> None:  # noqa: F811
    ends = [await office.endpoint(url) for url in URLS]
    before = len(connects)
    await office.event()
    client = SafeClient()
    await office.courier(client)
    for one in ends:
        await office.attempted(one, 1)
    for one in ends:
        (row,) = await office.rows(one)
        assert row["status"] == "pending", one.url
        assert row["log"][0]["status"] is None, one.url
        assert row["log"][0]["error"], one.url
    await client.close()
    assert [one for one in connects[before:] if not str(one).endswith(".s.PGSQL.5432'")] == []


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:169.254.169.254"], ["fe80::1%eth0"]]
)
async def test_nor_to_a_name_that_leads_there(
    office: Office,
    connects: list[Any],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    found: list[str],
) -> None:
    end = await office.endpoint("https://hooks.example.com/")
    asked = names(monkeypatch, found)
    client = SafeClient()
    await office.event()
    before = len(connects)
    await office.courier(client)
    await office.attempted(end, 1)
    assert "not public" in (await office.rows(end))[0]["log"][0]["error"]
    assert asked == ["hooks.example.com"]
    await client.close()
    assert connects[before:] == []
