"""Telnyx's Call Control, through its own SDK, and its TeXML REST API, whose forms that SDK sends as JSON.

https://developers.telnyx.com/api-reference/call-commands and …/texml-rest-commands.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

import httpx

from kallglot.carriers import documents
from kallglot.carriers.attempts import ATTEMPT_SECONDS, Failed, Sleep, T, attempted, presentable, refusal
from kallglot.carriers.client import CarrierError, Order, Stream
from kallglot.carriers.model import Call, Connection

if TYPE_CHECKING:
    from telnyx import AsyncTelnyx

API_URL: Final = "https://api.telnyx.com/v2"
OVER_ALREADY: Final = "90018"
_COMMANDS: Final = uuid.UUID("5f9f6c1e-4d3b-5a27-9d0f-2f7a1d6b8e31")
_STREAM: Final[dict[str, Any]] = {
    "stream_track": "inbound_track",
    "stream_bidirectional_mode": "rtp",
    "stream_bidirectional_codec": "PCMU",
    "stream_bidirectional_target_legs": "self",
}
"""Else Telnyx takes MP3 instead of frames, and plays them to the other side of the call."""


class TelnyxClient:
    """Every command has a ``command_id`` that stays the same when it is repeated: Telnyx ignores it the second time.

    That of an order, or of an answer, is made from our id of the call: whoever gives it again within a minute gives
    it once. A leg's ``client_state`` is JSON: the stream's parameters and ``call_id``, ours; of the leg that a
    transfer opens ``transfer``, our id of the call that is transferred.

    Calls whose ``details`` name ``{"product": "texml"}`` are controlled by documents: by the TeXML REST API.
    """

    def __init__(self, connection: Connection, base_url: str | None = None, *, sleep: Sleep = asyncio.sleep) -> None:
        self._connection = connection
        self._base_url = (base_url or API_URL).rstrip("/")
        self._http: httpx.AsyncClient | None = None
        self._sdk: AsyncTelnyx | None = None
        self._opening = asyncio.Lock()
        self._sleep = sleep

    async def dial(self, order: Order) -> str:
        app = self._setting("call_control_app_id")
        fields: dict[str, Any] = {
            "connection_id": app,
            "to": order.to,
            "from_": order.from_,
            "command_id": _command_id(order.call_id, "dial"),
            "client_state": _state({**order.stream.parameters, "call_id": order.call_id}),
            "timeout_secs": min(max(order.timeout_seconds, 5), 600),
            "webhook_url": order.status_url,
            "webhook_url_method": "POST",
            "stream_url": order.stream.url,
            "stream_bidirectional_sampling_rate": 8000,
            "send_silence_when_idle": True,
            **_STREAM,
        }
        if order.send_digits:
            fields["send_digits_on_answer"] = order.send_digits
        if order.machine_detection:
            fields["answering_machine_detection"] = "detect"

        async def place(sdk: AsyncTelnyx) -> str:
            answer: object = await sdk.calls.dial(**fields)
            call = getattr(getattr(answer, "data", None), "call_control_id", None)
            if not isinstance(call, str) or not call:
                raise ValueError("no call")
            return call

        return await self._commanded(place)

    async def reject(self, carrier_call_id: str, *, busy: bool) -> None:
        command = _new_command()
        cause: Literal["USER_BUSY", "CALL_REJECTED"] = "USER_BUSY" if busy else "CALL_REJECTED"
        try:
            await self._commanded(
                lambda sdk: sdk.calls.actions.reject(carrier_call_id, cause=cause, command_id=command)
            )
        except CarrierError as error:
            if not error.gone:
                raise

    async def hang_up(self, call: Call) -> None:
        leg, command = _leg(call), _new_command()
        try:
            if _is_texml(call):
                await self._update(leg, {"Status": "completed"}, repeatable=True)
            else:
                await self._commanded(lambda sdk: sdk.calls.actions.hangup(leg, command_id=command))
        except CarrierError as error:
            if not error.gone:
                raise

    async def transfer(self, call: Call, to: str, *, from_: str | None, timeout_seconds: int, result_url: str) -> None:
        """In Call Control nobody asks: ``result_url`` gets the events of the new leg, and of this one from now on. When
        the new leg hangs up without having been bridged, the call is still there, without its stream."""
        leg, timeout = _leg(call), min(max(timeout_seconds, 5), 600)
        if _is_texml(call):
            texml = documents.dial("telnyx", to, from_, timeout, result_url)
            await self._update(leg, {"Texml": texml}, repeatable=False)
            return
        fields: dict[str, Any] = {
            "to": to,
            "timeout_secs": timeout,
            "command_id": _new_command(),
            "target_leg_client_state": _state({"transfer": call.id}),
            "webhook_url": result_url,
            "webhook_url_method": "POST",
        }
        if from_ is not None:
            fields["from_"] = from_
        await self._commanded(lambda sdk: sdk.calls.actions.transfer(leg, **fields))

    async def restream(self, call: Call, stream: Stream, answer_url: str) -> None:
        leg = _leg(call)
        if _is_texml(call):
            await self._update(leg, {"Url": answer_url, "Method": "POST"}, repeatable=True)
            return
        fields: dict[str, Any] = {
            "command_id": _new_command(),
            "client_state": _state({**stream.parameters, "call_id": call.id}),
            "stream_url": stream.url,
            "stream_bidirectional_sampling_rate": 8000,
            "custom_parameters": [{"name": name, "value": value} for name, value in stream.parameters.items()],
            **_STREAM,
        }
        await self._commanded(lambda sdk: sdk.calls.actions.start_streaming(leg, **fields))

    async def send_digits(self, call: Call, digits: str) -> bool:
        if _is_texml(call):
            return False
        leg, command = _leg(call), _new_command()
        await self._commanded(lambda sdk: sdk.calls.actions.send_dtmf(leg, digits=digits, command_id=command))
        return True

    async def answer(self, call: Call, stream: Stream) -> None:
        if _is_texml(call):
            raise CarrierError("TeXML calls are answered by the document that their webhook gets.")
        leg = _leg(call)
        fields: dict[str, Any] = {
            "command_id": _command_id(call.id, "answer"),
            "client_state": _state({**stream.parameters, "call_id": call.id}),
            "stream_url": stream.url,
            "send_silence_when_idle": True,
            **_STREAM,
        }
        await self._commanded(lambda sdk: sdk.calls.actions.answer(leg, **fields))

    async def open(self) -> None:
        """Loads the SDK, which takes seconds, away from the event loop. Every method does; earlier is better."""
        await self._opened()

    async def close(self) -> None:
        http, self._http, self._sdk = self._http, None, None
        if http is not None:
            await http.aclose()

    async def _opened(self) -> tuple[AsyncTelnyx, httpx.AsyncClient]:
        async with self._opening:
            if self._sdk is None or self._http is None:
                self._http, self._sdk = await asyncio.to_thread(_open, self._base_url, self._api_key())
            return self._sdk, self._http

    async def _commanded(self, command: Callable[[AsyncTelnyx], Awaitable[T]]) -> T:
        sdk, _ = await self._opened()
        return await attempted(lambda: self._translated(command(sdk)), repeatable=True, sleep=self._sleep)

    async def _translated(self, answer: Awaitable[T]) -> T:
        import telnyx

        try:
            return await answer
        except telnyx.APIStatusError as error:
            raise self._refusal(error.status_code, error.body, error.response.headers) from None
        except telnyx.APIConnectionError as error:
            raise _lost(error.__cause__) from None
        except (telnyx.TelnyxError, ValueError, TypeError):
            raise Failed("Telnyx's answer is not understood.", unclear=True, passing=True) from None

    async def _update(self, leg: str, form: dict[str, str], *, repeatable: bool) -> None:
        account = quote(self._setting("account_sid"), safe="")
        url = f"{self._base_url}/texml/Accounts/{account}/Calls/{quote(leg, safe='')}"
        headers = {"Authorization": f"Bearer {self._api_key()}", "Accept": "application/json"}
        _, http = await self._opened()

        async def once() -> None:
            try:
                response = await http.post(url, data=form, headers=headers)
            except httpx.HTTPError as error:
                raise _lost(error) from None
            if not response.is_success:
                body = _json(response.text)
                raise self._refusal(response.status_code, body, response.headers, gone=response.status_code == 404)

        await attempted(once, repeatable=repeatable, sleep=self._sleep)

    def _refusal(self, status: int, body: object, headers: Mapping[str, str], *, gone: bool = False) -> Failed:
        code, message = _said(body)
        message = presentable(f"Telnyx refused: {message}" if message else "Telnyx refused.", self._secrets())
        return refusal(message, status, headers, code=code, gone=gone or code == OVER_ALREADY)

    def _secrets(self) -> list[object]:
        return list(self._connection.secrets.values())

    def _api_key(self) -> str:
        key = self._connection.secrets.get("api_key")
        if not isinstance(key, str) or not key:
            raise CarrierError("The connection has no API key.")
        return key

    def _setting(self, name: str) -> str:
        value = self._connection.settings.get(name)
        if not isinstance(value, str) or not value:
            raise CarrierError(f"The connection has no {name}.")
        return value


def _open(base_url: str, api_key: str) -> tuple[httpx.AsyncClient, AsyncTelnyx]:
    """With nothing from the environment: no key, header, address or proxy."""
    from telnyx import AsyncTelnyx

    class Sdk(AsyncTelnyx):
        def __init__(self) -> None:
            super().__init__(
                api_key=api_key,
                public_key="",
                client_id="",
                client_secret="",
                base_url=base_url,
                max_retries=0,
                http_client=http,
            )
            self._custom_headers = {}

    logging.getLogger("telnyx").setLevel(logging.WARNING)  # below, it has addresses and the parameters of streams
    http = httpx.AsyncClient(base_url=base_url, timeout=ATTEMPT_SECONDS, trust_env=False)
    return http, Sdk()


def _lost(cause: BaseException | None) -> Failed:
    if isinstance(cause, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
        return Failed("Telnyx cannot be reached.", passing=True)
    if isinstance(cause, httpx.TimeoutException):
        return Failed("Telnyx did not answer in time.", unclear=True, passing=True)
    return Failed("The connection to Telnyx was lost.", unclear=True, passing=True)


def _is_texml(call: Call) -> bool:
    return call.details.get("product") == "texml"


def _leg(call: Call) -> str:
    if not call.carrier_call_id:
        raise CarrierError("Telnyx's id of the call is not known.")
    return call.carrier_call_id


def _command_id(call_id: str, command: str) -> str:
    return str(uuid.uuid5(_COMMANDS, f"{command} {call_id}"))


def _new_command() -> str:
    return str(uuid.uuid4())


def _state(values: dict[str, str]) -> str:
    return base64.b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _said(body: Any) -> tuple[str | None, str]:
    """The code and the message of the first error."""
    try:
        error: Any = body["errors"][0]
        code, message = error.get("code"), error.get("detail") or error.get("title") or ""
    except (LookupError, TypeError, AttributeError):
        return None, ""
    return None if code is None else str(code)[:32], str(message)
