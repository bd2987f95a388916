"""What requests about connections and phone numbers may hold."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, RootModel, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from kallglot.api.models import (
    CreateSession,
    Engines,
    Language,
    Metadata,
    ParticipantIn,
    PhoneNumber,
    Recording,
    Request,
    Short,
    Transcription,
    TranslationIn,
    Update,
    VoiceIn,
    WebhookUrl,
)


def _ed25519(value: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 32:
        raise PydanticCustomError("public_key", "expected the base64 of an Ed25519 public key, 32 bytes")
    return value


Secret = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[!-~]+$"),
    Field(json_schema_extra={"writeOnly": True, "format": "password"}),
]
AccountSid = Annotated[str, StringConstraints(pattern=r"^AC[0-9a-fA-F]{32}$")]
ApiKeySid = Annotated[str, StringConstraints(pattern=r"^SK[0-9a-fA-F]{32}$")]
SharedKeyId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}[0-9]$"), Field(description="us1, ie1, au1")]
Edge = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}$"), Field(description="dublin, sydney, …")]
CarrierId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
PublicKey = Annotated[
    str,
    StringConstraints(max_length=64),
    AfterValidator(_ed25519),
    Field(description="Ed25519, base64", json_schema_extra={"pattern": "^[A-Za-z0-9+/]{43}=$"}),
]
ConnectionId = Annotated[str, StringConstraints(pattern=r"^pcon_[A-Za-z0-9]{1,40}$")]


class CreateTwilioConnection(Request):
    """``auth_token``, or ``api_key_sid`` with ``api_key_secret``. Signatures are checked with ``auth_token`` or
    ``shared_keys``, so that an API key alone needs one of them too, or ``require_signature: false``."""

    carrier: Literal["twilio"]
    name: Short = "Twilio"
    account_sid: AccountSid
    auth_token: Secret | None = None
    api_key_sid: ApiKeySid | None = None
    api_key_secret: Secret | None = None
    shared_keys: Annotated[dict[SharedKeyId, Secret], Field(max_length=10)] | None = None
    region: Region | None = None
    edge: Edge | None = None
    require_signature: bool = True
    default: bool | None = None
    """Left out: it is, where the organisation has none of this carrier."""


class CreateTelnyxConnection(Request):
    """``public_key`` is required, unless ``require_signature`` is false."""

    carrier: Literal["telnyx"]
    name: Short = "Telnyx"
    api_key: Secret
    public_key: PublicKey | None = None
    call_control_app_id: CarrierId | None = None
    texml_app_id: CarrierId | None = None
    account_sid: CarrierId | None = None
    require_signature: bool = True
    default: bool | None = None


class CreateConnection(
    RootModel[Annotated[CreateTwilioConnection | CreateTelnyxConnection, Field(discriminator="carrier")]]
):
    pass


class UpdateTwilioConnection(Update):
    """A new ``auth_token`` leaves the old one valid for signatures, as ``previous_auth_token``, until that is set to
    null. In ``shared_keys``, a null value removes its key."""

    name: Short = ""
    active: bool = True
    default: bool = False
    auth_token: Secret | None = None
    previous_auth_token: None = None
    api_key_sid: ApiKeySid | None = None
    api_key_secret: Secret | None = None
    shared_keys: Annotated[dict[SharedKeyId, Secret | None], Field(max_length=20)] | None = None
    region: Region | None = None
    edge: Edge | None = None
    require_signature: bool = True


class UpdateTelnyxConnection(Update):
    name: Short = ""
    active: bool = True
    default: bool = False
    api_key: Secret = ""
    public_key: PublicKey | None = None
    call_control_app_id: CarrierId | None = None
    texml_app_id: CarrierId | None = None
    account_sid: CarrierId | None = None
    require_signature: bool = True


class UpdateConnection(RootModel[UpdateTwilioConnection | UpdateTelnyxConnection]):
    """What is left out stays; null removes what can be missing. The carrier and Twilio's account stay for good."""


CREATE: Final = {"twilio": CreateTwilioConnection, "telnyx": CreateTelnyxConnection}
UPDATE: Final = {"twilio": UpdateTwilioConnection, "telnyx": UpdateTelnyxConnection}


class Policy(Request):
    """What becomes of a call to the number: a session with these defaults, or ``webhook_url`` alone is asked each
    time."""

    mode: Literal["bidirectional_translation", "assistive_translation", "ai_agent", "help_chat_voice"] | None = None
    source_language: Language | None = None
    target_language: Language | None = None
    participants: Annotated[list[ParticipantIn], Field(min_length=1, max_length=16)] | None = None
    voice: VoiceIn | None = None
    recording: Recording = Recording()
    transcription: Transcription = Transcription()
    translation: TranslationIn = TranslationIn()
    engines: Engines | None = None
    metadata: Metadata | None = None
    webhook_url: WebhookUrl | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Policy:
        rest = [name for name in self.model_fields_set - {"webhook_url"} if getattr(self, name) is not None]
        if self.webhook_url is not None and rest:
            raise PydanticCustomError(
                "conflicting_fields", "either webhook_url, which is asked for a session's fields, or the fields"
            )
        if self.webhook_url is None and self.mode is None:
            raise PydanticCustomError("policy", "mode is required, or webhook_url, or no policy at all (null)")
        return self

    def kept(self) -> dict[str, Any]:
        """What was given, as a session takes it."""
        return self.model_dump(exclude_unset=True)

    def session(self) -> CreateSession | None:
        """The session that a call would get; None where the customer is asked for it."""
        return None if self.webhook_url is not None else CreateSession.model_validate(self.kept())


class CreatePhoneNumber(Request):
    number: PhoneNumber
    connection_id: ConnectionId
    label: Short | None = None
    policy: Policy | None = None


class UpdatePhoneNumber(Update):
    """What is left out stays; a policy is replaced as a whole."""

    connection_id: ConnectionId = ""
    label: Short | None = None
    active: bool = True
    policy: Policy | None = None


MODELS: Final[tuple[type[BaseModel], ...]] = (
    CreateConnection,
    UpdateConnection,
    CreatePhoneNumber,
    UpdatePhoneNumber,
)
