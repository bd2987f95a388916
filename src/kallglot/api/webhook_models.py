"""What requests about webhooks may hold."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from kallglot.api.carrier_models import Update
from kallglot.api.models import Request, WebhookUrl
from kallglot.webhooks.model import EVENT_TYPES, EVERYTHING

_ALL: Final = [EVERYTHING]
_LONGEST_OVERLAP_SECONDS: Final = 7 * 24 * 3600


def _event(value: str) -> str:
    if value != EVERYTHING and value not in EVENT_TYPES:
        known = ", ".join(EVENT_TYPES)
        raise PydanticCustomError("event", "expected one of {known}; or * alone, for all", {"known": known})
    return value


def _event_type(value: str) -> str:
    if value not in EVENT_TYPES:
        raise PydanticCustomError("event", "expected one of {known}", {"known": ", ".join(EVENT_TYPES)})
    return value


def _each_once(value: list[str]) -> list[str]:
    if len(set(value)) < len(value):
        raise PydanticCustomError("events", "expected each event type once")
    if EVERYTHING in value and len(value) > 1:
        raise PydanticCustomError("events", "expected event types, or * alone")
    return value


Events = Annotated[
    list[
        Annotated[
            str,
            StringConstraints(max_length=80),
            AfterValidator(_event),
            Field(json_schema_extra={"enum": [EVERYTHING, *EVENT_TYPES]}),
        ]
    ],
    Field(min_length=1, max_length=len(EVENT_TYPES), json_schema_extra={"uniqueItems": True}),
    AfterValidator(_each_once),
]
EventName = Annotated[
    str,
    StringConstraints(max_length=80),
    AfterValidator(_event_type),
    Field(json_schema_extra={"enum": [*EVENT_TYPES]}),
]
Description = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateWebhookEndpoint(Request):
    url: WebhookUrl
    description: Description | None = None
    events: Events = _ALL
    enabled: bool = True


class UpdateWebhookEndpoint(Update):
    """What is left out stays; ``description: null`` removes it."""

    url: WebhookUrl = ""
    description: Description | None = None
    events: Events = _ALL
    enabled: bool = True


class SendTestEvent(Request):
    type: EventName = "session.ended"


class RotateSecret(Request):
    """For so many seconds the secret until now signs too, beside the new one."""

    expires_in_seconds: Annotated[int, Field(ge=0, le=_LONGEST_OVERLAP_SECONDS)] = 24 * 3600


MODELS: Final[tuple[type[BaseModel], ...]] = (
    CreateWebhookEndpoint,
    UpdateWebhookEndpoint,
    SendTestEvent,
    RotateSecret,
)
