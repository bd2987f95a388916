"""The older generation of requests and answers: the nested ``provider``. No other file of the API knows it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from kallglot.api.body import parse
from kallglot.api.models import PhoneNumber, Request, Short, SipUri
from kallglot.errors import KallglotError
from kallglot.session.model import Session

DEPRECATION: Final = {"Deprecation": "@1774483200", "Link": '</openapi.json>; rel="successor-version"'}
"""RFC 9745; the day the current form replaced the nested one, 2026-03-26."""


class _Credentials(Request):
    username: Short
    password: Short


class Provider(Request):
    type: Literal["twilio", "telnyx", "sip"]
    phone_number: PhoneNumber | None = None
    call_sid: Short | None = None
    call_control_id: Short | None = None
    sip_uri: SipUri | None = None
    credentials: _Credentials | None = None
    transport: Literal["udp", "tcp", "tls"] | None = None
    codecs: Annotated[list[Short], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _fields_of_its_type(self) -> Provider:
        foreign = {
            "twilio": ("call_control_id", "sip_uri", "credentials", "transport", "codecs"),
            "telnyx": ("call_sid", "sip_uri", "credentials", "transport", "codecs"),
            "sip": ("call_sid", "call_control_id", "phone_number"),
        }[self.type]
        for name in foreign:
            if getattr(self, name) is not None:
                raise PydanticCustomError(
                    "conflicting_fields",
                    "{name} does not go with type {type}",
                    {"name": name, "type": self.type},
                )
        return self


def take_provider(body: dict[str, Any]) -> tuple[dict[str, Any], Provider | None]:
    """The body without its ``provider``, and that."""
    if "provider" not in body or body["provider"] is None:
        return {name: value for name, value in body.items() if name != "provider"}, None
    if body.get("routing") is not None:
        raise KallglotError(
            "conflicting_fields", "provider is the older form of routing; send routing only.", param="provider"
        )
    rest = {name: value for name, value in body.items() if name != "provider"}
    given: Any = body["provider"]
    if not isinstance(given, dict):
        raise KallglotError("invalid_field_value", "provider: expected an object.", param="provider")
    try:
        return rest, parse(Provider, cast("dict[str, Any]", given))
    except KallglotError as error:
        error.param = f"provider.{error.param}" if error.param else "provider"
        raise


def stored(provider: Provider) -> dict[str, Any]:
    """What is kept of it: everything but the password, which nothing here uses."""
    kept = provider.model_dump(exclude_none=True, exclude={"credentials"})
    if provider.credentials is not None:
        kept["credentials"] = {"username": provider.credentials.username}
    return kept


MODELS: Final = (Provider,)


def describe(create_session: dict[str, Any]) -> None:
    """Adds the older form to the JSON Schema of the request that creates a session."""
    create_session["properties"]["provider"] = {
        "anyOf": [{"$ref": "#/components/schemas/Provider"}, {"type": "null"}],
        "deprecated": True,
        "description": "The older form of routing.",
    }


_OF_CALL: Final = {
    "queued": "connecting",
    "ringing": "connecting",
    "in_progress": "connected",
    "completed": "disconnected",
}


def answered(session: Session, view: dict[str, Any]) -> dict[str, Any]:
    """The session in the form it was asked for: ``provider`` nested where it was created so."""
    if session.provider is None:
        return view
    status = {"created": "pending", "ended": "disconnected"}.get(session.status, "connected")
    if view["call"] is not None:
        status = _OF_CALL.get(view["call"]["status"], "failed")
    kept = {name: value for name, value in session.provider.items() if name != "credentials"}
    return {**view, "provider": {**kept, "status": status}}
