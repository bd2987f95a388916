"""Twilio's REST API, through its own SDK: https://www.twilio.com/docs/voice/api/call-resource."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from weakref import WeakValueDictionary

import aiohttp
from twilio.base.exceptions import TwilioException  # pyright: ignore[reportMissingTypeStubs]
from twilio.http import AsyncHttpClient  # pyright: ignore[reportMissingTypeStubs]
from twilio.http.async_http_client import AsyncTwilioHttpClient  # pyright: ignore[reportMissingTypeStubs]
from twilio.http.response import Response  # pyright: ignore[reportMissingTypeStubs]
from twilio.rest import Client  # pyright: ignore[reportMissingTypeStubs]

from kallglot.carriers import documents
from kallglot.carriers.attempts import Failed, Sleep, T, attempted, presentable, refusal
from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call, Connection

_log = logging.getLogger("kallglot.carriers.twilio.http")
_log.setLevel(logging.WARNING)
"""The SDK's own log, below this, has every address with its query: who calls whom."""

OVER_ALREADY: Final = "21220"
SETTLE_SECONDS: Final = 1.0
"""From an unclear order until its call is looked for: it may be made while we give up."""
SKEW_SECONDS: Final = 30.0
"""How far Twilio's clock may be behind ours."""
RECENT_CALLS: Final = 50
_REMEMBERED: Final = 1000
_ORIGIN: Final = re.compile(r"^https://api(\.[a-z0-9-]+)*\.twilio\.com")
_SID: Final = re.compile(r"[A-Za-z0-9]{2,64}")

Holder = Callable[[str], Awaitable[str | None]]
"""From Twilio's id of a call to ours, None where no call of ours has it."""


class TwilioClient:
    """Twilio knows no idempotency. After a failure that leaves open whether a call was placed, :meth:`dial` looks
    among the newest calls from and to the same numbers for one that was created since the order's first attempt and
    that no other order holds, and places another only where there is none.

    Nothing in Twilio's call resource is ours to set. An order's calls tell which they are only through their
    status callbacks, which come to the order's own address: ``holder`` says what those have told. Until one has come,
    a call from and to the same numbers that somebody else placed with the same account in those seconds is taken for
    ours. Two orders of this client for the same pair of numbers wait for each other.
    """

    def __init__(
        self,
        connection: Connection,
        http_client: AsyncHttpClient | None = None,
        *,
        holder: Holder | None = None,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connection = connection
        self._http_client = http_client
        self._door: _Door | None = None
        self._client: Any = None
        self._holder = holder
        self._sleep = sleep
        self._now = now
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._since: dict[str, datetime] = {}
        self._placed: dict[str, str] = {}

    async def dial(self, order: Order) -> str:
        async with self._turns.setdefault((order.from_, order.to), asyncio.Lock()):
            if (placed := self._placed.get(order.call_id)) is not None:
                return placed
            again = order.call_id in self._since or order.ordered_at is not None
            since = self._since.setdefault(order.call_id, order.ordered_at or self._now())
            sid = await self._find(order, since) if again else None
            sid = sid or await self._place(order, since)
            self._placed[order.call_id] = sid
            for memory in (self._placed, self._since):
                while len(memory) > _REMEMBERED:
                    del memory[next(iter(memory))]
            return sid

    async def hang_up(self, call: Call) -> None:
        try:
            await self._update(call, repeatable=True, status="completed")
        except CarrierError as error:
            if not error.gone:
                raise

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        twiml = documents.dial("twilio", to, from_, timeout_seconds, result_url)
        await self._update(call, repeatable=False, twiml=twiml)

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        await self._update(call, repeatable=True, url=documents.persistent(answer_url), method="POST")

    async def send_digits(self, call: Call, digits: str) -> bool:
        return False

    async def answer(self, call: Call, stream: Stream) -> None:
        raise CarrierError("Twilio's calls are answered by the document that their webhook gets.")

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        raise CarrierError("Twilio is told what to do with a call in a document.")

    async def close(self) -> None:
        if self._door is not None:
            await self._door.close()
        self._client = self._door = None

    async def _place(self, order: Order, since: datetime) -> str:
        last = False
        while True:
            try:
                return await self._asked(lambda: self._create(order), repeatable=False)
            except CarrierError as error:
                if not error.unclear:
                    self._since.pop(order.call_id, None)
                    raise
                await self._sleep(SETTLE_SECONDS)
                found = await self._find(order, since)
                if found is not None:
                    return found
                if last:
                    raise
                last = True

    async def _create(self, order: Order) -> str:
        fields: dict[str, Any] = {
            "to": order.to,
            "from_": order.from_,
            "url": documents.persistent(order.answer_url),
            "method": "POST",
            "status_callback": documents.persistent(order.status_url),
            "status_callback_method": "POST",
            "status_callback_event": ["initiated", "ringing", "answered", "completed"],
            "timeout": min(max(order.timeout_seconds, 1), 600),
        }
        if order.send_digits:
            fields["send_digits"] = order.send_digits
        if order.machine_detection:
            fields |= {
                "machine_detection": "Enable",
                "async_amd": "true",
                "async_amd_status_callback": documents.persistent(order.amd_url),
                "async_amd_status_callback_method": "POST",
            }
        created = await self._api().calls.create_async(**fields)
        if not isinstance(created.sid, str) or _SID.fullmatch(created.sid) is None:
            raise Failed("Twilio's answer names no call.", unclear=True)
        return created.sid

    async def _find(self, order: Order, since: datetime) -> str | None:
        """Raises :class:`CarrierError`, unclear, where the calls cannot be listed."""
        try:
            calls = await self._asked(lambda: self._recent(order), repeatable=True)
        except CarrierError as error:
            message = f"Nobody knows whether the call was placed: {error.message}"
            raise CarrierError(message, code=error.code, status=error.status, unclear=True) from None
        held = {sid for call_id, sid in self._placed.items() if call_id != order.call_id}
        possible: list[tuple[timedelta, str]] = []
        for sid, created in calls:
            if sid in held or created < since - timedelta(seconds=SKEW_SECONDS):
                continue
            holder = None if self._holder is None else await self._holder(sid)
            if holder == order.call_id:
                return sid
            if holder is None:
                possible.append((abs(created - since), sid))
        return min(possible)[1] if possible else None

    async def _recent(self, order: Order) -> list[tuple[str, datetime]]:
        """Not by start time, which a call that is still queued has none of."""
        page = await self._api().calls.page_async(to=order.to, from_=order.from_, page_size=RECENT_CALLS)
        return [
            (call.sid, call.date_created)
            for call in page
            if isinstance(call.date_created, datetime) and call.direction in (None, "outbound-api") and call.sid
        ]

    async def _update(self, call: Call, *, repeatable: bool, **fields: object) -> None:
        sid = call.carrier_call_id or ""
        if _SID.fullmatch(sid) is None:
            raise CarrierError("Twilio's id of the call is not known.")
        await self._asked(lambda: self._api().calls(sid).update_async(**fields), repeatable=repeatable)

    async def _asked(self, once: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        async def translated() -> T:
            try:
                return await once()
            except (CarrierError, TimeoutError):
                raise
            except (TwilioException, LookupError, TypeError, ValueError, AttributeError):
                raise Failed("Twilio's answer is not understood.", unclear=True, passing=True) from None

        return await attempted(translated, repeatable=repeatable, sleep=self._sleep)

    def _api(self) -> Any:
        if self._client is None:
            settings, secrets = self._connection.settings, self._connection.secrets
            account = settings.get("account_sid")
            key = settings.get("api_key_sid")
            password = secrets.get("api_key_secret" if key else "auth_token")
            if not account or not password:
                raise CarrierError("The connection has no account SID, or neither an auth token nor an API key.")
            self._door = _Door(self._http_client or AsyncTwilioHttpClient(logger=_log), secrets)
            self._client = Client(
                key or account,
                password,
                account,
                settings.get("region"),
                self._door,
                environment={"": ""},
                edge=settings.get("edge"),
            )
        return self._client


class _Door(AsyncHttpClient):
    """Between the SDK and the network: the SDK drops the headers of a refusal, and forgets its own time-out."""

    def __init__(self, inner: AsyncHttpClient, secrets: Mapping[str, object]) -> None:
        super().__init__(_log, True)
        self._inner = inner
        self._secrets = secrets

    async def close(self) -> None:
        close = getattr(self._inner, "close", None)
        if close is not None:
            await close()

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Raises :class:`Failed` for every answer but a good one."""
        headers = dict(headers or {})
        if auth is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        try:
            response = await self._inner.request(
                method, uri, params=params, data=data, headers=headers, allow_redirects=allow_redirects
            )
        except aiohttp.ClientConnectorError:
            raise Failed("Twilio cannot be reached.", passing=True) from None
        except aiohttp.InvalidURL:
            raise Failed("Twilio's address is not valid: check region and edge.") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Failed("The connection to Twilio was lost.", unclear=True, passing=True) from None
        if 200 <= response.status_code < 300:
            return response
        code, message = _said(response.text)
        message = presentable(f"Twilio refused: {message}" if message else "Twilio refused.", self._secrets.values())
        given: Mapping[str, str] = response.headers or {}
        raise refusal(message, response.status_code, given, code=code, gone=code == OVER_ALREADY)


def _said(text: str) -> tuple[str | None, str]:
    """The code and the message of a refusal, in either of the forms that Twilio has."""
    try:
        body: Any = json.loads(text)
        code, message = body.get("code"), body.get("message") or body.get("detail") or body.get("title") or ""
    except (ValueError, AttributeError, RecursionError):
        return None, ""
    return None if code is None else str(code)[:32], str(message)


class Elsewhere(AsyncTwilioHttpClient):
    """Asks another origin, a proxy or a stand-in: the SDK has no setting for where its API is."""

    def __init__(self, origin: str) -> None:
        super().__init__(logger=_log)  # pyright: ignore[reportUnknownMemberType]
        self._origin = origin

    async def request(self, method: str, uri: str, *args: Any, **kwargs: Any) -> Response:
        return await super().request(method, _ORIGIN.sub(self._origin, uri, count=1), *args, **kwargs)
