"""What requests may hold, field by field."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from kallglot.accounts.keys import LONGEST_OVERLAP, OVERLAP
from kallglot.accounts.model import SCOPES
from kallglot.speech import orders
from kallglot.speech.languages import english_name
from kallglot.speech.orders import ChosenKind
from kallglot.webhooks import urls

_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")
_ISO_639_1: Final = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en"
    " eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv"
    " ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne"
    " ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st"
    " su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_MAX_VOICES: Final = 40
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _language(value: str) -> str:
    named = value.split("-")[0].lower()
    if not _TAG.fullmatch(value) or (named not in _ISO_639_1 and english_name(named) == named):
        raise PydanticCustomError("language", "expected a BCP 47 language code like de or en-US")
    base, *rest = value.split("-")
    return "-".join([base.lower(), *(part.upper() if len(part) == 2 else part for part in rest)])


def _phone_number(value: str) -> str:
    if not _E164.fullmatch(value):
        raise PydanticCustomError("phone_number", "expected an E.164 number like +14155551234")
    return value


def _webhook_url(value: str) -> str:
    try:
        urls.read(value)
    except ValueError as error:
        raise PydanticCustomError("url", "{why}", {"why": str(error)}) from None
    return value


def _iso_8601(value: Any) -> Any:
    if not isinstance(value, str) or not _DATE.match(value):
        raise PydanticCustomError("datetime", "expected a time like 2026-03-26T11:00:00Z")
    return value


def _scope(value: str) -> str:
    if value not in SCOPES:
        raise PydanticCustomError("scope", "expected a scope like sessions:read")
    return value


Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Language = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_language),
    Field(description="BCP 47", json_schema_extra={"pattern": f"^{_TAG.pattern}$"}),
]
PhoneNumber = Annotated[
    str,
    StringConstraints(max_length=20),
    AfterValidator(_phone_number),
    Field(description="E.164", json_schema_extra={"pattern": f"^{_E164.pattern}$"}),
]
WebhookUrl = Annotated[
    str,
    StringConstraints(max_length=2000),
    AfterValidator(_webhook_url),
    Field(
        description="https, port 443 or 8443, a public address; http and any port in networks that the operator allows",
        json_schema_extra={"format": "uri", "pattern": "^https://"},
    ),
]
"""Whether it may be sent to is for :func:`kallglot.api.destinations.check`."""
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_iso_8601)]
ApiScope = Annotated[str, AfterValidator(_scope), Field(json_schema_extra={"enum": list(SCOPES)})]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=40)]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=50)]
SipUri = Annotated[str, StringConstraints(max_length=500, pattern=r"^sips?:[^\s\x00-\x1f\x7f]+$")]
HeaderValue = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Speed = Annotated[float, Field(ge=0.5, le=2.0)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    """What is left out of a change stays as it is: no default says more."""
    for described in schema.get("properties", {}).values():
        described.pop("default", None)


class Update(Request):
    model_config = ConfigDict(json_schema_extra=_without_defaults)


class Sip(Request):
    from_uri: SipUri | None = None
    uri: SipUri | None = None
    username: Short | None = None
    password: Short | None = None
    transport: Literal["udp", "tcp", "tls"] = "tls"
    codecs: Annotated[list[Literal["PCMU", "PCMA", "G722", "opus"]], Field(max_length=16)] | None = None
    headers: (
        Annotated[
            dict[Annotated[str, StringConstraints(pattern=r"^[Xx]-[A-Za-z0-9-]{1,60}$")], HeaderValue],
            Field(max_length=20),
        ]
        | None
    ) = None


class RoutingAudio(Request):
    sample_rate_hz: Literal[8000, 16000, 24000, 48000] = 8000
    encoding: Literal["mulaw", "alaw", "pcm_s16le", "opus"] = "mulaw"
    channels: Literal[1] = 1


class Routing(Request):
    phone_number: PhoneNumber | None = None
    connection_id: Annotated[str, StringConstraints(pattern=r"^pcon_[A-Za-z0-9]{1,40}$")] | None = None
    type: Literal["sip"] | None = None
    direction: Literal["inbound", "outbound"] | None = None
    sip: Sip | None = None
    audio: RoutingAudio | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Routing:
        ways = [name for name in ("phone_number", "connection_id", "type") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise PydanticCustomError(
                "conflicting_fields", "exactly one of phone_number, connection_id and type names the way"
            )
        if self.sip is not None and self.type != "sip":
            raise PydanticCustomError("conflicting_fields", "sip needs type: sip")
        return self


class ParticipantIn(Request):
    role: Literal["customer", "agent"]
    language: Language | None = None
    name: Short | None = None

    @model_validator(mode="before")
    @classmethod
    def _type_is_role(cls, value: Any) -> Any:
        if isinstance(value, dict) and "type" in value and "role" not in value:
            value = {"role" if key == "type" else key: inner for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
        return value  # pyright: ignore[reportUnknownVariableType]


class OneVoice(Request):
    name: Short | None = None
    speed: Speed | None = None


def _voice(value: Any) -> Any:
    """One voice for all languages, or one by language; told apart so that errors name the right field."""
    if not isinstance(value, dict):
        return value
    if {"name", "speed"} & value.keys() or not value:
        return OneVoice.model_validate(value)
    if len(value) > _MAX_VOICES:  # pyright: ignore[reportUnknownArgumentType]
        raise PydanticCustomError("too_long", "expected at most 40 languages")
    return {_language(str(key)): _voice_for(str(key), inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _voice_for(language: str, value: Any) -> OneVoice:
    try:
        return OneVoice.model_validate(value)
    except ValidationError as error:
        wrong = [
            InitErrorDetails(type=one["type"], loc=(language, *one["loc"]), input=one["input"], ctx=one.get("ctx", {}))
            for one in error.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data("voice", wrong) from None


VoiceIn = Annotated[OneVoice | dict[str, OneVoice], BeforeValidator(_voice)]


class Recording(Request):
    enabled: bool = False
    channels: Literal["dual", "mono"] = "dual"


class Transcription(Request):
    partials: bool = True
    terms: Annotated[list[Annotated[str, StringConstraints(min_length=1, max_length=100)]], Field(max_length=500)] = []
    profanity_filter: bool = False


class GlossaryEntry(Request):
    source: Short
    target: Short


class TranslationIn(Request):
    glossary: Annotated[list[GlossaryEntry], Field(max_length=500)] = []
    original_audio: Literal["duck", "mute", "pass"] = "mute"
    formality: Literal["formal", "informal", "default"] | None = None


class Tool(Request):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    parameters: dict[str, Any] | None = None


class AiAgent(Request):
    agent_id: Short | None = None
    overrides: dict[str, Any] | None = None
    system_prompt: Annotated[str, StringConstraints(min_length=1, max_length=32_000)] | None = None
    voice: Short | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    knowledge_base_id: Short | None = None
    tools: Annotated[list[Tool], Field(max_length=64)] | None = None


def _engine_order(kind: ChosenKind) -> AfterValidator:
    def check(value: dict[str, list[str]]) -> dict[str, list[str]]:
        for key, some in value.items():
            wrong = orders.wrong_key(kind, key)
            if wrong is not None:
                raise PydanticCustomError("language", "{why}", {"why": wrong})
            if len(set(some)) < len(some):
                raise PydanticCustomError("engines", "expected each engine once")
        return value

    return AfterValidator(check)


EngineNames = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=100)]],
    Field(min_length=1, max_length=orders.MOST_NAMES),
]
EngineOrder = dict[Annotated[str, StringConstraints(min_length=1, max_length=80)], EngineNames]


class Engines(Request):
    """Names of engines (``/v1/languages``) by language, in the order in which they are asked; ``local`` stands for all
    that are on the server, ``*`` for every language."""

    recognition: Annotated[EngineOrder, Field(max_length=100), _engine_order("recognition")] | None = None
    translation: Annotated[EngineOrder, Field(max_length=100), _engine_order("translation")] | None = None
    synthesis: Annotated[EngineOrder, Field(max_length=100), _engine_order("synthesis")] | None = None


class CreateSession(Request):
    mode: Literal["bidirectional_translation", "assistive_translation", "ai_agent", "help_chat_voice"]
    source_language: Language | None = None
    target_language: Language | None = None
    routing: Routing | None = None
    participants: Annotated[list[ParticipantIn], Field(min_length=1, max_length=16)] | None = None
    voice: VoiceIn | None = None
    recording: Recording = Recording()
    transcription: Transcription = Transcription()
    translation: TranslationIn = TranslationIn()
    ai_agent: AiAgent | None = None
    engines: Engines | None = None
    webhook_url: WebhookUrl | None = None
    metadata: Metadata | None = None


class UpdateSession(Request):
    metadata: Annotated[dict[MetadataKey, MetadataValue | None], Field(max_length=100)] | None


class EndSession(Request):
    reason: Literal["completed", "customer_hangup", "agent_hangup", "error", "timeout"] = "completed"


class CreateApiKey(Request):
    name: Short
    livemode: bool | None = None
    """The mode of the key that asks, where it is left out."""
    scopes: Annotated[list[ApiScope], Field(min_length=1, max_length=20)] | None = None
    expires_at: Moment | None = None


class UpdateApiKey(Update):
    """What is left out stays; ``expires_at: null`` lets the key live until it is revoked."""

    name: Short = ""
    scopes: Annotated[list[ApiScope], Field(min_length=1, max_length=20)] = []
    expires_at: Moment | None = None


class RotateApiKey(Request):
    expires_in_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=int(LONGEST_OVERLAP.total_seconds()),
            description="How long the old key is good for; 0 = ends at once.",
        ),
    ] = int(OVERLAP.total_seconds())


MODELS: Final[tuple[type[BaseModel], ...]] = (
    UpdateApiKey,
    RotateApiKey,
    CreateSession,
    UpdateSession,
    EndSession,
    CreateApiKey,
)
