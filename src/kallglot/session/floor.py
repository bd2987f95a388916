"""Who has the floor: a speaker who has stopped while others still listen to the translation of what they said."""

from __future__ import annotations


class Floor:
    """Turns being heard, by speaker and listener. Each call returns the speakers for whom the answer changed."""

    def __init__(self) -> None:
        self._heard: dict[str, set[tuple[str, str]]] = {}
        self._speaking: set[str] = set()
        self._taken: set[str] = set()

    def listeners(self, speaker_id: str) -> set[str]:
        """Who still listens to the speaker's turns."""
        return {listener for _, listener in self._heard.get(speaker_id, ())}

    def taken(self, speaker_id: str) -> bool:
        """The speaker is silent, and others still listen to them."""
        return speaker_id in self._taken

    def begin(self, speaker_id: str, turn_id: str, listener_id: str) -> list[str]:
        self._heard.setdefault(speaker_id, set()).add((turn_id, listener_id))
        return self._changed()

    def end(self, turn_id: str, listener_id: str) -> list[str]:
        for heard in self._heard.values():
            heard.discard((turn_id, listener_id))
        return self._changed()

    def speaks(self, speaker_id: str, speaking: bool) -> list[str]:
        (self._speaking.add if speaking else self._speaking.discard)(speaker_id)
        return self._changed()

    def _changed(self) -> list[str]:
        taken = {speaker for speaker, heard in self._heard.items() if heard and speaker not in self._speaking}
        changed = taken ^ self._taken
        self._taken = taken
        return sorted(changed)
