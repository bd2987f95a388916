"""What requests about an organization's policy may hold."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from kallglot.accounts import policy
from kallglot.api.models import Engines, Short, Update
from kallglot.api.models import Request as Body
from kallglot.session.patterns import compiled


def _pattern(value: str) -> str:
    try:
        regex = compiled(value)
    except ValueError as error:
        raise PydanticCustomError("pattern", "RE2 does not take it: {why}", {"why": str(error)}) from None
    if regex.search("") is not None:
        raise PydanticCustomError("pattern", "it matches where there is nothing")
    return value


Days = Annotated[float, Field(ge=1, le=policy.MOST_DAYS, description="null = as the server has it")]


class RedactionPattern(Body):
    """A regular expression, as RE2 writes them, and what stands in the transcript in place of what it matches."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=policy.LONGEST_NAME, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ -]*$")
    ]
    pattern: Annotated[
        str, StringConstraints(min_length=1, max_length=policy.LONGEST_PATTERN), AfterValidator(_pattern)
    ]
    replacement: Annotated[
        str | None,
        Field(max_length=policy.LONGEST_REPLACEMENT, description="Taken as it is; the name in brackets when left out."),
    ] = None


class RedactionPolicy(Update):
    card_numbers: bool = False
    patterns: Annotated[list[RedactionPattern], Field(max_length=policy.MOST_PATTERNS)] = []  # noqa: RUF012 – pydantic copies it


class RetentionPolicy(Update):
    transcripts_days: Days | None = None
    recordings_days: Days | None = None
    events_days: Days | None = None


class UpdateOrganization(Update):
    """What is left out stays; ``null`` takes it back to the server's default."""

    name: Short = ""
    retention: RetentionPolicy | None = None
    redaction: RedactionPolicy | None = None
    engines: Engines | None = None


MODELS: Final[tuple[type[BaseModel], ...]] = (UpdateOrganization,)
