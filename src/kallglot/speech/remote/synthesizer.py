"""The base of synthesizers over HTTP: one request a text, sound as it comes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import ClassVar, Final

from kallglot.speech import guards
from kallglot.speech.languages import match
from kallglot.speech.remote.audio import LONGEST_HEAD, Decoder, RawAudio
from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError, unusable
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.languages import served
from kallglot.speech.remote.translator import NOT_UNDERSTOOD
from kallglot.speech.types import Voice

Reader = Callable[[bytes], Iterable[bytes]]

LONGEST_S: Final = 600
"""Of sound for one text."""
PIECE_MS: Final = 200
"""Larger pieces are cut."""


class RemoteSynthesizer(RemoteEngine):
    """A vendor gives :meth:`request`, and :meth:`wire` where the answer is anything but raw PCM."""

    sample_rate_hz: int = 24000
    default_languages: ClassVar[tuple[str, ...]] = ()
    most_characters: ClassVar[int] = 4000

    @property
    def languages(self) -> tuple[str, ...]:
        return served(self.config.languages, self.default_languages)

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        """Text without a letter or a digit is silent. Raises :class:`EngineError`, also in the middle."""
        return self._speak(text, language, voice)

    @abstractmethod
    def request(self, text: str, language: str, voice: Voice) -> Request:
        """Raises :class:`EngineError` for what the vendor cannot be asked. ``most_bytes`` need only be set where the
        answer may be larger than the sound in it."""

    def wire(self) -> Decoder:
        """A new reader of one answer."""
        return RawAudio(self.sample_rate_hz)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        if not guards.says_something(text):
            return
        self._check(text, language)
        self.spending.spend_characters(len(text))
        decoder = self.wire()
        left = LONGEST_S * self.sample_rate_hz * 2
        spoken = False
        request = self.request(text, language, voice)
        request = replace(request, most_bytes=max(request.most_bytes, left + LONGEST_HEAD))
        async with self.stream(request) as pieces:
            kind = pieces.headers.get("content-type", "")
            if isinstance(decoder, RawAudio) and kind.startswith(("text/", "application/json")):
                raise unusable(self.name, "the answer is text, no sound")
            async for piece in pieces:
                for pcm in self._read(decoder.feed, piece):
                    left -= len(pcm)
                    if left < 0:
                        raise unusable(self.name, f"it speaks for more than {LONGEST_S} s")
                    spoken = True
                    yield pcm
            for pcm in self._read(lambda _: decoder.end(), b""):
                spoken = True
                yield pcm
        if not spoken:
            raise unusable(self.name, "the answer is silent")

    def _read(self, read: Reader, data: bytes) -> Iterable[bytes]:
        most = self.sample_rate_hz * PIECE_MS // 1000 * 2
        try:
            for pcm in read(data):
                for at in range(0, len(pcm), most):
                    yield pcm[at : at + most]
        except NOT_UNDERSTOOD:
            raise unusable(self.name, "the sound cannot be understood") from None

    def _check(self, text: str, language: str) -> None:
        if len(text) > self.most_characters:
            what = f"a text of {len(text)} characters is too long; {self.most_characters} can be spoken at once"
            raise RemoteError(f"{self.name}: {what}", blame="request")
        if match(language, self.languages) is None:
            raise RemoteError(f"{self.name} has no voice for {language}", blame="request")
