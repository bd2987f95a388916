"""How busy a live session is, for who asks now and then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """``recognition_ms`` is the audio that waits for its recogniser, of each speaker; ``playout_ms`` what waits to be
    heard, of each listener on each leg; ``held`` the legs that are not read from because of the former."""

    mode: str
    legs: int
    recognition_ms: Sequence[float]
    playout_ms: Sequence[float]
    held: int
