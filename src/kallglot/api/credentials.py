"""What a connection holds, from what was asked: settings and secrets by carrier, and what has to be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from kallglot.api.carrier_models import (
    CreateTelnyxConnection,
    CreateTwilioConnection,
    UpdateTelnyxConnection,
    UpdateTwilioConnection,
)
from kallglot.carriers.model import Connection
from kallglot.errors import KallglotError
from kallglot.ids import CONNECTION, new_id

SETTINGS: Final = {
    "twilio": ("account_sid", "api_key_sid", "region", "edge", "require_signature"),
    "telnyx": ("public_key", "call_control_app_id", "texml_app_id", "account_sid", "require_signature"),
}
SECRETS: Final = {"twilio": ("auth_token", "api_key_secret"), "telnyx": ("api_key",)}
"""But for ``shared_keys`` and ``previous_auth_token``, which are not simply set."""


def made(
    asked: CreateTwilioConnection | CreateTelnyxConnection,
    organization_id: str,
    livemode: bool,
    default: bool,
    now: datetime,
) -> Connection:
    """Raises ``missing_required_field``."""
    given = asked.model_dump()
    secrets = {name: given[name] for name in SECRETS[asked.carrier]}
    if given.get("shared_keys"):
        secrets["shared_keys"] = given["shared_keys"]
    connection = Connection(
        id=new_id(CONNECTION),
        organization_id=organization_id,
        carrier=asked.carrier,
        name=asked.name,
        created_at=now,
        livemode=livemode,
        default=default,
        settings=_present({name: given[name] for name in SETTINGS[asked.carrier]}),
        secrets=_present(secrets),
    )
    _check(connection)
    return connection


def changed(connection: Connection, asked: UpdateTwilioConnection | UpdateTelnyxConnection) -> Connection:
    """Raises ``missing_required_field``."""
    given = asked.model_dump(exclude_unset=True)
    settings = {name: value for name, value in given.items() if name in SETTINGS[connection.carrier]}
    secrets = {name: value for name, value in given.items() if name in SECRETS[connection.carrier]}
    old = connection.secrets.get("auth_token")
    if secrets.get("auth_token", old) != old:
        secrets["previous_auth_token"] = old if secrets["auth_token"] is not None else None
    if "previous_auth_token" in given:
        secrets["previous_auth_token"] = None
    if "shared_keys" in given:
        kept: dict[str, str] = {} if given["shared_keys"] is None else connection.secrets.get("shared_keys", {})
        secrets["shared_keys"] = _present({**kept, **(given["shared_keys"] or {})}) or None
        if len(secrets["shared_keys"] or {}) > 10:
            raise KallglotError("invalid_field_value", "shared_keys: at most 10 keys are kept.", param="shared_keys")
    plain = {name: given[name] for name in ("name", "active", "default") if name in given}
    connection = replace(
        connection,
        settings=_present({**connection.settings, **settings}),
        secrets=_present({**connection.secrets, **secrets}),
        **plain,
    )
    _check(connection)
    return connection


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _check(connection: Connection) -> None:
    settings, secrets = connection.settings, connection.secrets
    signed = settings["require_signature"]
    if connection.carrier == "telnyx":
        if signed and "public_key" not in settings:
            _miss(
                "public_key", "public_key is required to check Telnyx's signatures, unless require_signature is false."
            )
        return
    if "api_key_sid" in settings and "api_key_secret" not in secrets:
        _miss("api_key_secret", "api_key_secret is required with api_key_sid.")
    if "api_key_secret" in secrets and "api_key_sid" not in settings:
        _miss("api_key_sid", "api_key_sid is required with api_key_secret.")
    if "auth_token" in secrets:
        return
    if "api_key_sid" not in settings:
        _miss("auth_token", "auth_token is required, or api_key_sid and api_key_secret.")
    if signed and "shared_keys" not in secrets:
        message = (
            "auth_token is required to check Twilio's signatures, with an API key too, unless there are shared_keys or"
            " require_signature is false."
        )
        _miss("auth_token", message)


def _miss(param: str, message: str) -> None:
    raise KallglotError("missing_required_field", message, param=param)
