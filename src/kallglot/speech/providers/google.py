"""Google: translation and speech, over REST.

It is asked with an API key (``api_key``), with an access token of yours (the same, and the option ``auth`` is
``"token"``), or with tokens for a service account (the option ``credentials`` is the path of its key file).

Options of the translator: ``project`` (with a token: then version 3 is asked, which knows models), ``location``.
Options of speech: those of :mod:`kallglot.speech.providers.voiced`.

Glossaries live in a storage bucket there and are not made from here; context and formality do not exist. Speech that
streams is gRPC only: here it comes whole, in short pieces of text.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from kallglot.clock import Clock
from kallglot.speech.providers import google_wire as wire
from kallglot.speech.providers.google_token import Tokens
from kallglot.speech.providers.keytrouble import KeyTrouble
from kallglot.speech.providers.voiced import MOST_BYTES, VoicedSynthesizer
from kallglot.speech.remote.audio import Decoder, RawAudio
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.translator import RemoteTranslator
from kallglot.speech.types import EngineError, Hints, Voice

PIECE: Final = 16 * 1024


class Access:
    """How requests are allowed: ``headers`` are those of the moment, once :meth:`prepare` has returned."""

    def __init__(self, config: ProviderConfig, ask: Callable[[Request], Awaitable[Answer]], clock: Clock) -> None:
        self._config = config
        self._misconfigured: str | None = None
        try:
            file, auth, project = config.text("credentials"), config.text("auth"), config.text("project")
        except EngineError as error:
            file = auth = project = None
            self._misconfigured = str(error)
        self._tokens = Tokens(config.name, Path(file), ask, clock) if file else None
        self.by_token = file is not None or auth == "token"
        self.project = project
        self.headers: dict[str, str] = {}
        if config.api_key and self._tokens is None:
            self.headers = self._headers(config.api_key)

    def missing(self) -> str | None:
        if self._tokens is None and not self._config.api_key:
            return f"{self._config.name} needs an API key, or a service account's key file (option credentials)"
        return self._misconfigured

    async def prepare(self) -> None:
        """Raises :class:`EngineError`."""
        if self._tokens is not None:
            self.project = self.project or (await self._tokens.account()).project_id
            self.headers = self._headers(await self._tokens.token())

    def _headers(self, secret: str) -> dict[str, str]:
        return wire.token_headers(secret, self.project) if self.by_token else wire.key_headers(secret)


class _Google(KeyTrouble):
    key_needed = False

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(config, clock=clock, sleep=sleep)
        self.access = Access(config, self.ask, self.clock)

    def missing(self) -> str | None:
        return self.access.missing() or super().missing()

    def reason(self, status: int, body: bytes) -> str | None:
        return wire.trouble(body)

    def key_trouble(self, error: RemoteError) -> str | None:
        return "the API key is refused" if error.status == 400 and "API_KEY_INVALID" in str(error) else None


class GoogleTranslator(_Google, RemoteTranslator):
    default_languages = wire.LANGUAGES

    @property
    def _version_3(self) -> bool:
        return self.access.by_token and self.access.project is not None

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        await self.access.prepare()
        return await super().translate(text, source, target, hints)

    def request(self, text: str, source: str, target: str, hints: Hints) -> Request:
        url, model = self.config.address(wire.TRANSLATION_URL), self.config.model
        project = self.access.project
        if not self._version_3 or project is None:
            return wire.translation_v2(url, self.access.headers, text, source, target, model)
        location = self.config.text("location") or "global"
        return wire.translation_v3(
            url, self.access.headers, text, source, target, project=project, location=location, model=model
        )

    def read(self, answer: Answer) -> str:
        return (wire.translated_v3 if self._version_3 else wire.translated_v2)(answer.body)


class GoogleSynthesizer(_Google, VoicedSynthesizer):
    rates = wire.RATES
    default_languages = tuple(wire.LOCALES)
    voice_names = re.compile(r"[a-z]{2,3}-[A-Z0-9]{2,3}-[\w-]+")
    longest_piece = wire.LONGEST_SPOKEN

    async def prepare(self) -> None:
        await self.access.prepare()

    def request(self, text: str, language: str, voice: Voice) -> Request:
        return wire.speech(
            self.config.address(wire.SPEECH_URL),
            self.access.headers,
            text,
            language=language,
            voice=self.voice(voice, language),
            sample_rate_hz=self.sample_rate_hz,
            speed=voice.speed,
            most_bytes=MOST_BYTES,
        )

    def wire(self) -> Decoder:
        return Whole(self.sample_rate_hz)


class Whole:
    """The JSON around the sound, which says nothing before its end."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._body = bytearray()
        self._audio = RawAudio(sample_rate_hz)

    def feed(self, data: bytes) -> Iterable[bytes]:
        self._body += data
        return ()

    def end(self) -> Iterable[bytes]:
        audio = wire.spoken(bytes(self._body))
        for at in range(0, len(audio), PIECE):
            yield from self._audio.feed(audio[at : at + PIECE])
        yield from self._audio.end()
