"""A server with a connection to a fake carrier, and a number whose calls it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.acceptance.client import StreamClient
from tests.serverprocess import ServerProcess

NUMBER = "+14155550100"
SCRIPT = {
    "languages": ["de", "en", "es"],
    "recognition": {"de": ["Guten Tag", "Auf Wiedersehen"], "en": ["Hello there", "Good bye"]},
}
SPEECH = (np.sign(np.sin(2 * np.pi * 500 * np.arange(4800) / 8000)) * 12000).astype("<i2").tobytes()
"""0.6 s that scripted recognition takes for speech."""
SILENCE = bytes(16000)
POLICY = {
    "mode": "bidirectional_translation",
    "source_language": "de",
    "target_language": "en",
    "recording": {"enabled": True},
}


def scripted(folder: Path) -> Path:
    path = folder / "script.json"
    path.write_text(json.dumps(SCRIPT), encoding="utf-8")
    return path


async def connected(server: ServerProcess, connection: dict[str, Any], policy: dict[str, Any] | None = None) -> str:
    """Makes the connection and its number; the connection's id."""
    async with server.rest() as rest:
        made = (await rest.post("/v1/connections", json=connection)).raise_for_status().json()
        number = {"number": NUMBER, "connection_id": made["id"], "policy": POLICY if policy is None else policy}
        (await rest.post("/v1/phone_numbers", json=number)).raise_for_status()
    return made["id"]


async def newest_session(server: ServerProcess) -> dict[str, Any]:
    async with server.rest() as rest:
        return (await rest.get("/v1/sessions?limit=1")).raise_for_status().json()["data"][0]


async def get(server: ServerProcess, path: str) -> dict[str, Any]:
    async with server.rest() as rest:
        return (await rest.get(path)).raise_for_status().json()


async def post(server: ServerProcess, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    async with server.rest() as rest:
        answer = await rest.post(path, json=body if body is not None else {}, headers=headers)
        return answer.raise_for_status().json()


async def agent(server: ServerProcess, session_id: str) -> StreamClient:
    stream = (await get(server, f"/v1/sessions/{session_id}"))["stream"]
    client = await StreamClient.open(stream["url"], stream["token"], "&participant=agent")
    await client.until("session.ready")
    return client


async def events(server: ServerProcess, session_id: str) -> list[str]:
    """What customers were told of the session's calls, in order."""
    found = (await get(server, f"/v1/events?session_id={session_id}&limit=100"))["data"]
    kinds = [one["type"] for one in reversed(found)]
    return [kind.removeprefix("session.provider.") for kind in kinds if kind.startswith("session.provider.")]


async def in_progress(server: ServerProcess, call_id: str) -> None:
    """Its stream is there before the call is stored as one that goes on, and can be transferred."""
    async with asyncio.timeout(30):
        while (await get(server, f"/v1/calls/{call_id}"))["status"] != "in_progress":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def loud(pcm: bytes) -> bool:
    return bool(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max(initial=0) > 500)
