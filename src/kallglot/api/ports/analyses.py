"""Analyses of sessions."""

from __future__ import annotations

from typing import Protocol

from kallglot.accounts.ports import Page
from kallglot.analysis.model import Analysis


class AnalysisRepository(Protocol):
    async def add(self, analysis: Analysis) -> None:
        """It is made as soon as somebody has time for it."""
        ...

    async def get(self, analysis_id: str, organization_id: str, livemode: bool) -> Analysis | None:
        """None too where it is another organisation's, or of the other mode."""
        ...

    async def list(self, session_id: str, page: Page) -> tuple[list[Analysis], bool]: ...
