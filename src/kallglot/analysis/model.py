"""Analyses as they are kept, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

Status = Literal["processing", "completed", "failed"]
Part = Literal["summary", "sentiment", "compliance", "keywords", "performance"]

PARTS: Final[tuple[Part, ...]] = ("summary", "sentiment", "compliance", "keywords", "performance")
TEXT_PARTS: Final[frozenset[Part]] = frozenset(("summary", "sentiment", "keywords"))
"""Those that need somebody who understands what was said; the others are counted."""
DEFAULT_PROFILE: Final = "default"
LONGEST_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Analysis:
    """``result`` holds the parts that were asked for, by their names, and ``engine``; None until it is completed."""

    id: str
    session_id: str
    organization_id: str
    livemode: bool
    status: Status
    profile: str
    include: tuple[Part, ...]
    created_at: datetime
    api_key_id: str | None = None
    call_id: str | None = None
    """The session's newest call."""
    result: Mapping[str, Any] | None = None
    error: str | None = None
    completed_at: datetime | None = None
