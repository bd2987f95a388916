"""What requests for analyses may hold."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, Field, StringConstraints

from kallglot.analysis.model import DEFAULT_PROFILE, PARTS, Part
from kallglot.api.models import Request as Body


class CreateAnalysis(Body):
    profile: Annotated[str, StringConstraints(min_length=1, max_length=80)] = DEFAULT_PROFILE
    include: Annotated[
        list[Part], Field(min_length=1, max_length=20, description="All of them where it is left out.")
    ] = list(PARTS)  # noqa: RUF012 – pydantic copies it


MODELS: Final[tuple[type[BaseModel], ...]] = (CreateAnalysis,)
