"""Asking a customer's webhook what is to become of a call: the fields of a session, or nothing."""

from __future__ import annotations

import json
import logging
from typing import Any, Final, Protocol, cast

from kallglot.accounts.model import PhoneNumber
from kallglot.carriers.callbacks import Incoming
from kallglot.clock import Clock, iso
from kallglot.ids import EVENT, new_id
from kallglot.webhooks.client import Answer, Unreachable

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 6.0
"""Carriers wait 15 s for us, and callers hear nothing meanwhile."""


class Poster(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str], *, timeout_s: float) -> Answer:
        """Raises :class:`~kallglot.webhooks.client.Unreachable`."""
        ...


class Instructions:
    def __init__(self, client: Poster, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def __call__(self, url: str, number: PhoneNumber, incoming: Incoming) -> dict[str, Any] | None:
        """What the customer answered; None where they don't take the call (204), or gave no answer that can be used."""
        question = {
            "id": new_id(EVENT),
            "type": "call.incoming",
            "api_version": "v1",
            "created_at": iso(self._clock.now()),
            "data": {
                "provider": number.carrier,
                "provider_call_id": incoming.carrier_call_id,
                "phone_number_id": number.id,
                "from": incoming.from_,
                "to": incoming.to,
            },
        }
        try:
            answer = await self._client.post(url, json.dumps(question).encode(), {}, timeout_s=ANSWER_SECONDS)
        except Unreachable as error:
            log.warning("number %s: its webhook gave no answer: %s", number.id, error)
            return None
        if not 200 <= answer.status < 300 or not answer.body.strip():
            log.warning("number %s: its webhook does not take the call (%d)", number.id, answer.status)
            return None
        try:
            fields = json.loads(answer.body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            log.warning("number %s: its webhook answered with something else than a JSON object", number.id)
            return None
        return cast("dict[str, Any]", fields)
