"""The cheap question before voice activity detection: is there anything but the line's own noise?"""

from __future__ import annotations

from typing import Final

QUIET: Final = 0.00025
"""RMS below which nothing is speech, -72 dBFS: one step of mu-law."""
FIRST_FLOOR: Final = 0.0006
"""-64 dBFS: an ordinary line's noise, until a quieter moment is heard."""
ABOVE_FLOOR: Final = 1.8
RISE: Final = 1.003
"""How fast the noise floor follows a louder line, a window: doubles in about 7 s."""
HOLD_WINDOWS: Final = 8


class EnergyGate:
    """Windows of 32 ms. Opens on anything above the tracked noise floor and stays open a moment longer."""

    def __init__(self) -> None:
        self._floor = FIRST_FLOOR
        self._held = 0

    def open(self, rms: float) -> bool:
        loud = rms > max(QUIET, self._floor * ABOVE_FLOOR)
        self._floor = max(QUIET / 4, rms) if rms < self._floor else self._floor * RISE
        if loud:
            self._held = HOLD_WINDOWS
            return True
        self._held = max(0, self._held - 1)
        return self._held > 0
