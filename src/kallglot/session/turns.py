"""Turn ids: the same in a turn's partials, final, audio and playback."""

from __future__ import annotations

from kallglot.ids import TURN, new_id


class TurnIds:
    """Gives each utterance of one speaker its turn id, by the moment at which it started."""

    def __init__(self) -> None:
        self._open: dict[int, str] = {}

    def of_partial(self, start_ms: int) -> str:
        turn_id = self._open.get(start_ms)
        if turn_id is None:
            turn_id = self._open[start_ms] = new_id(TURN)
        return turn_id

    def of_final(self, start_ms: int, end_ms: int) -> str:
        """Closes the utterance. A start that a final pass moved a little still finds its partials' turn."""
        matching = [start for start in self._open if start == start_ms] or [
            start for start in self._open if start < end_ms and abs(start - start_ms) < 1000
        ]
        turn_id = self._open[min(matching, key=lambda start: abs(start - start_ms))] if matching else new_id(TURN)
        self._open = {start: open_id for start, open_id in self._open.items() if start >= end_ms}
        return turn_id
