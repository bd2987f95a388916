"""Several synthesizers as one: a sentence that breaks off is spoken again, from its start, by the next."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from kallglot.audio.codec import AudioFormatError
from kallglot.audio.resample import Resampler
from kallglot.speech.failover.rests import Key, Rests
from kallglot.speech.types import EngineError, Synthesizer, Voice

log = logging.getLogger(__name__)

FIRST_AUDIO_S: Final = 3.0
BETWEEN_S: Final = 3.0
SHORTEST: Final = 12
"""Characters: a shorter sentence is spoken with the one before it."""
_END: Final = re.compile(r"(?<=[.!?…])[\"'»”’)\]]*\s+|(?<=[。！？])")


class FailoverSynthesizer:
    """``engines`` in the order of preference; all is brought to the first one's sample rate.

    A voice that is asked for by name is one of the first engine's: the others speak in their own.
    """

    def __init__(self, engines: Sequence[Synthesizer], rests: Rests) -> None:
        self._engines = tuple(engines)
        self._rests = rests
        self.name = engines[0].name
        self.sample_rate_hz = engines[0].sample_rate_hz

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        order = self._in_order()
        for sentence in sentences(text):
            lost: list[Synthesizer] = []
            while True:
                engine = order[0]
                try:
                    trying = self._sentence(engine, sentence, language, voice, last=len(order) == 1)
                    async with aclosing(trying) as pieces:
                        async for pcm in pieces:
                            yield pcm
                    self._rests.replaced.update(map(_key, lost))
                    break
                except (EngineError, TimeoutError) as error:
                    log.warning("synthesis by %s failed: %s", engine.name, str(error) or "it took too long")
                    if len(order) == 1:
                        raise
                    lost.append(order.pop(0))

    async def _sentence(
        self, engine: Synthesizer, text: str, language: str, voice: Voice, *, last: bool
    ) -> AsyncGenerator[bytes]:
        """Audio at the first engine's rate. Raises :class:`EngineError` and, unless it is the ``last`` to be asked,
        ``TimeoutError``."""
        key = _key(engine)
        if engine is not self._engines[0]:
            voice = Voice(None, voice.speed)
        self._rests.trying(key)
        speaking = engine.synthesize(text, language, voice)
        patience, spoken = FIRST_AUDIO_S, False
        resampler: Resampler | None = None
        try:
            if engine.sample_rate_hz != self.sample_rate_hz:
                resampler = Resampler(engine.sample_rate_hz, self.sample_rate_hz)
            while True:
                async with asyncio.timeout(None if last else patience):
                    pcm = await anext(speaking, None)
                if pcm is None:
                    break
                if pcm:
                    patience, spoken = BETWEEN_S, True
                    yield pcm if resampler is None else resampler.process(pcm)
            if not spoken and any(map(str.isalnum, text)):
                raise EngineError(f"{engine.name} spoke nothing")
            if resampler is not None:
                yield resampler.flush()
            self._rests.well(key)
        except (EngineError, TimeoutError) as error:
            self._rests.failed(key, error if isinstance(error, EngineError) else "it took too long")
            raise
        except AudioFormatError as error:
            self._rests.failed(key, str(error))
            raise EngineError(f"{engine.name}: {error}") from None
        except Exception as error:
            log.exception("%s broke over a text", engine.name)
            self._rests.failed(key, type(error).__name__)
            raise EngineError(f"{engine.name}: {type(error).__name__}") from error
        finally:
            if isinstance(speaking, AsyncGenerator):
                await speaking.aclose()

    def _in_order(self) -> list[Synthesizer]:
        return sorted(self._engines, key=lambda one: not self._rests.ready(_key(one), one))


def _key(engine: Synthesizer) -> Key:
    return "synthesis", engine.name


def sentences(text: str) -> list[str]:
    """The text in sentences; joined by what was between them they are the text."""
    found: list[str] = []
    at = 0
    for end in [match.end() for match in _END.finditer(text)] + [len(text)]:
        piece = text[at:end]
        if found and (len(piece.strip()) < SHORTEST or len(found[-1].strip()) < SHORTEST):
            found[-1] += piece
        elif piece.strip():
            found.append(piece)
        at = end
    return [one.strip() for one in found] or [text]
