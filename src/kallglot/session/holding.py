"""Participants on hold: they hear music instead of the others, and nobody hears them. Their connections stay."""

from __future__ import annotations

from typing import Final

from kallglot.audio.tones import hold_music
from kallglot.session.audience import Audience
from kallglot.session.hearing import Hearing
from kallglot.session.model import Participant

MUSIC_HZ: Final = 8000
CHUNK_MS: Final = 200
AHEAD_MS: Final = 100
MUSIC: Final = Participant("hold", "agent", None, "hold music")


class Holding:
    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._until_ms: dict[str, float] = {}
        """By participant: until when music was handed out."""
        self._at: dict[str, int] = {}

    def __contains__(self, participant_id: str) -> bool:
        return participant_id in self._until_ms

    @property
    def anybody(self) -> bool:
        return bool(self._until_ms)

    def hold(self, participant_id: str, now_ms: float) -> None:
        self._until_ms.setdefault(participant_id, now_ms)
        self._at[participant_id] = 0

    def release(self, participant_id: str) -> None:
        self._until_ms.pop(participant_id, None)
        self._at.pop(participant_id, None)

    def tick(self, now_ms: float) -> None:
        for participant_id, until_ms in self._until_ms.items():
            if until_ms > now_ms + AHEAD_MS:
                continue
            self._until_ms[participant_id] = max(until_ms, now_ms) + CHUNK_MS
            chunk = self._next(participant_id)
            for hearing in self._held(participant_id):
                hearing.original(MUSIC, chunk, MUSIC_HZ, now_ms, ducks=False)

    def _held(self, participant_id: str) -> list[Hearing]:
        return self._audience.everything_of(participant_id)

    def _next(self, participant_id: str) -> bytes:
        music, size = hold_music(MUSIC_HZ), MUSIC_HZ * CHUNK_MS // 1000 * 2
        at = self._at[participant_id]
        self._at[participant_id] = (at + size) % len(music)
        return music[at : at + size]
