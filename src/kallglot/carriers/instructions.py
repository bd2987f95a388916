"""Asking a customer's webhook what is to become of a call: the fields of a session, or nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, cast

from kallglot.accounts.model import PhoneNumber
from kallglot.carriers.callbacks import Incoming
from kallglot.clock import Clock, iso
from kallglot.ids import DELIVERY, EVENT, new_id
from kallglot.webhooks.client import Answer, Unreachable
from kallglot.webhooks.model import Secrets
from kallglot.webhooks.signatures import signed

log = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 6.0
"""Carriers wait 15 s for us, and callers hear nothing meanwhile."""


class Poster(Protocol):
    async def post(self, url: str, body: bytes, headers: dict[str, str], *, timeout_s: float) -> Answer:
        """Raises :class:`~kallglot.webhooks.client.Unreachable`."""
        ...


class Instructions:
    """``secrets`` gives what an organisation's own addresses know us by: questions are signed as deliveries are."""

    def __init__(self, client: Poster, clock: Clock, secrets: Callable[[str], Awaitable[Secrets]]) -> None:
        self._client = client
        self._clock = clock
        self._secrets = secrets

    async def __call__(self, url: str, number: PhoneNumber, incoming: Incoming) -> dict[str, Any] | None:
        """What the customer answered; None where they don't take the call (204), or gave no answer that can be used."""
        now, event_id = self._clock.now(), new_id(EVENT)
        question = {
            "id": event_id,
            "type": "call.incoming",
            "api_version": "v1",
            "created_at": iso(now),
            "data": {
                "provider": number.carrier,
                "provider_call_id": incoming.carrier_call_id,
                "phone_number_id": number.id,
                "from": incoming.from_,
                "to": incoming.to,
            },
        }
        body = json.dumps(question).encode()
        secrets = await self._secrets(number.organization_id)
        headers = signed(
            body,
            secrets.valid(now),
            now=now,
            event_id=event_id,
            event_created_at=now,
            delivery_id=new_id(DELIVERY),
            retries=0,
        )
        try:
            answer = await self._client.post(url, body, headers, timeout_s=ANSWER_SECONDS)
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
