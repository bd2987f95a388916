"""What the vendors' speech engines have in common beyond the base: voices by language, and long texts in pieces.

Options of each of them: ``voices``, a table of the vendor's voice names by language, as ``{"de": "…", "en-GB": "…"}``,
and ``sample_rate_hz``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import ClassVar, Final

from kallglot.clock import Clock
from kallglot.speech.languages import match
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.languages import by_language, served
from kallglot.speech.remote.synthesizer import RemoteSynthesizer
from kallglot.speech.sentences import split
from kallglot.speech.types import EngineError, Voice

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of the sound for one piece."""


class VoicedSynthesizer(RemoteSynthesizer):
    """Speaks a text piece by piece, one request after another, each asked for when the one before it was heard out.

    ``Voice.name`` is taken where it looks like one of the vendor's, or is one of the operator's; else it is passed over
    for the language's own voice, so that a voice of another engine does no harm where this one stands in for it.
    """

    rates: ClassVar[Collection[int]]
    default_rate_hz: ClassVar[int] = 24_000
    default_voices: ClassVar[Mapping[str, str]] = {}
    voice_names: ClassVar[re.Pattern[str]]
    longest_piece: ClassVar[int]
    """Characters."""
    most_characters = 20_000

    def __init__(
        self,
        config: ProviderConfig,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(config, clock=clock, sleep=sleep)
        self._misconfigured: str | None = None
        self._voices: dict[str, str] = {}
        self.sample_rate_hz = self.default_rate_hz
        try:
            self._voices = _texts(config, "voices")
            rate = int(config.number("sample_rate_hz", self.default_rate_hz))
        except EngineError as error:
            self._misconfigured = str(error)
            return
        if rate in self.rates:
            self.sample_rate_hz = rate
        else:
            self._misconfigured = f"{self.name}: the option sample_rate_hz has to be one of {sorted(self.rates)}"

    @property
    def languages(self) -> tuple[str, ...]:
        if self.config.languages:
            return served(self.config.languages, ())
        own = [language for language in self._voices if match(language, self.default_languages) is None]
        return (*self.default_languages, *own)

    def missing(self) -> str | None:
        return super().missing() or self._misconfigured

    def voice(self, voice: Voice, language: str) -> str | None:
        if voice.name and (voice.name in self._voices.values() or self.voice_names.fullmatch(voice.name)):
            return voice.name
        return by_language(self._voices, language) or by_language(self.default_voices, language)

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak_pieces(text, language, voice)

    @abstractmethod
    def request(self, text: str, language: str, voice: Voice) -> Request: ...

    async def prepare(self) -> None:
        """Before the first request for a text. Raises :class:`EngineError`."""

    async def _speak_pieces(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        # The base looks at pieces only.
        self._check(text, language)
        await self.prepare()
        for piece, _ in split(" ".join(text.split()), self.longest_piece):
            async with contextlib.aclosing(self._speak(piece, language, voice)) as audio:
                async for pcm in audio:
                    yield pcm

    def no_voice(self, language: str) -> RemoteError:
        return RemoteError(f"{self.name} has no voice for {language}: name one in its option voices", blame="request")


def _texts(config: ProviderConfig, option: str) -> dict[str, str]:
    table = config.table(option)
    if not all(isinstance(value, str) for value in table.values()):
        raise EngineError(f"{config.name}: the option {option} has to be a table of texts", passing=False)
    return dict(table)
