"""A language model behind the chat completions API that OpenAI documents, and many servers speak."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel

from kallglot.analysis.model import Part
from kallglot.analysis.pieces import Pieces
from kallglot.analysis.ports import EngineAway, EngineFailed
from kallglot.analysis.profiles import Profile
from kallglot.analysis.prompts import LONGEST_NOTES, Answer, BadAnswer, Notes, as_parts, bounded, final, notes_on, read
from kallglot.clock import Clock

log = logging.getLogger(__name__)

MOST_BYTES: Final = 1024 * 1024
"""Of one answer."""
TRIES: Final = 3
"""Of one request, while the server is busy or fails."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 20.0
"""Who has to wait longer gives its place to another analysis."""
CONNECT_S: Final = 10.0

Model = TypeVar("Model", bound=BaseModel)
Result = TypeVar("Result")


class ChatModel:
    """``url`` is what ``/chat/completions`` is added to, ``https://api.openai.com/v1``; ``timeout_s`` is for a whole
    answer. Neither the key nor what the server says is ever logged: servers quote both."""

    def __init__(
        self,
        url: str,
        model: str,
        key: str | None,
        clock: Clock,
        *,
        timeout_s: float = 120.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._model = model
        self._key = key
        self._clock = clock
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._json_mode = True

    @property
    def name(self) -> str:
        return self._model

    async def understand(
        self, pieces: Pieces, parts: Collection[Part], profile: Profile, language: str | None
    ) -> Mapping[str, Any]:
        texts = pieces.texts
        if len(texts) > 1:
            texts = await self._notes(pieces, profile, language)
        messages = final("\n\n".join(texts), parts, profile, language, notes=len(pieces.texts) > 1)
        return await self._asked(messages, Answer, lambda answer: as_parts(answer, parts))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def _notes(self, pieces: Pieces, profile: Profile, language: str | None) -> tuple[str, ...]:
        """One after the other: a model that serves one at a time would let the others run into their timeouts."""
        found: list[str] = []
        count = len(pieces.texts)
        for number, text in enumerate(pieces.texts, 1):
            if pieces.left_out and number == count // 2 + 1:
                found.append(f"(About {pieces.left_out} characters of the transcript are left out here.)")
            notes = await self._asked(notes_on(text, number, count, profile, language), Notes, lambda one: one.notes)
            found.append(f"Piece {number}: {bounded(notes, LONGEST_NOTES)}")
        return tuple(found)

    async def _asked(self, messages: list[Any], model: type[Model], use: Callable[[Model], Result]) -> Result:
        """A bad answer is asked for once more."""
        for last in (False, True):
            content = await self._content(messages)
            try:
                return use(read(content, model))
            except BadAnswer as error:
                if last:
                    raise EngineFailed(f"The language model's answer cannot be used: {error}.") from None
        raise AssertionError

    async def _content(self, messages: list[Any]) -> str:
        wait_s = FIRST_WAIT_S
        for number in range(1, TRIES + 1):
            try:
                return await self._exchange(messages)
            except EngineAway as error:
                after_s = wait_s if error.after_s is None else error.after_s
                if number == TRIES or after_s > LONGEST_WAIT_S:
                    raise
                await self._sleep(after_s)
                wait_s *= 2
        raise AssertionError

    async def _exchange(self, messages: list[Any]) -> str:
        status, headers, body = await self._post(messages, json_mode=self._json_mode)
        if self._json_mode and status in (400, 422):
            # Some servers do not know response_format; without it they answer.
            status, headers, body = await self._post(messages, json_mode=False)
            self._json_mode = status != 200
        if status == 429 or status >= 500 or status == 408:
            log.warning("the language model's server answered %d", status)
            after_s = _retry_after(headers, self._clock.now())
            raise EngineAway(f"The language model's server answered {status}.", after_s)
        if status != 200:
            log.warning("the language model's server answered %d", status)
            raise EngineFailed(f"The language model's server refused the request: {status}.")
        return _content_of(body)

    async def _post(self, messages: list[Any], *, json_mode: bool) -> tuple[int, httpx.Headers, bytes]:
        document: dict[str, Any] = {"model": self._model, "messages": messages, "stream": False}
        if json_mode:
            document["response_format"] = {"type": "json_object"}
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        client = await self._opened()
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeout_s):
                content = json.dumps(document).encode()
                async with client.stream("POST", self._url, content=content, headers=headers) as answer:
                    async for some in answer.aiter_bytes():
                        body += some
                        if len(body) > MOST_BYTES:
                            raise EngineFailed("The language model's answer is too large.")
                    return answer.status_code, answer.headers, bytes(body)
        except TimeoutError:
            raise EngineAway(f"The language model did not answer within {self._timeout_s:g} s.") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            log.warning("the language model cannot be asked: %s", type(error).__name__)
            raise EngineAway("The language model cannot be reached.") from None

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                # Reading the certificates takes long enough to be heard.
                self._client = await asyncio.to_thread(
                    httpx.AsyncClient,
                    timeout=httpx.Timeout(self._timeout_s, connect=CONNECT_S),
                    follow_redirects=False,
                )
            return self._client


def _content_of(body: bytes) -> str:
    """Of the answer that the API documents. What it cannot be read as is left to be asked for again."""
    try:
        document: Any = json.loads(body)
        choice = document["choices"][0]
        message = choice["message"]
        content, refusal, reason = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    if refusal or reason == "content_filter":
        raise EngineFailed("The language model refused to analyse this conversation.")
    # An answer that was cut off for its length is no JSON.
    return content if isinstance(content, str) else ""


def _retry_after(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds (RFC 9110, section 10.2.3)."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.replace(".", "", 1).isdigit():
        return float(given)
    try:
        return max(0.0, (parsedate_to_datetime(given) - now).total_seconds())
    except (ValueError, TypeError):
        return None
