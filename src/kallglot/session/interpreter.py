"""From one speaker's finished utterances to committed, translated, spoken turns.

Two workers: one translates and commits in order, the other speaks, so that a long sentence being spoken never holds up
the text of the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kallglot.session.hearing import Hearing
from kallglot.session.model import Participant, Translation, Turn
from kallglot.session.ports import Engines
from kallglot.session.routes import Plan
from kallglot.speech.types import EngineError, Voice

log = logging.getLogger(__name__)

TRANSLATION_TIMEOUT_S: Final = 5.0
SYNTHESIS_TIMEOUT_S: Final = 15.0
MAX_WAITING: Final = 64
"""Utterances waiting for a translator; beyond it they are joined rather than lost."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a speaker said or typed, on the session's timeline."""

    turn_id: str
    text: str
    start_ms: int
    end_ms: int
    language: str | None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an interpreter sees of its session, always as it is at that moment."""

    speaker: Callable[[], Participant]
    plan: Callable[[], Plan]
    hearings: Callable[[Sequence[str]], list[Hearing]]
    commit: Callable[[Utterance, tuple[Translation, ...]], Awaitable[Turn]]
    warn: Callable[[str, str], None]


class Interpreter:
    def __init__(self, engines: Engines, voices: Mapping[str, Any] | None, around: Surroundings) -> None:
        self._engines = engines
        self._voices = voices
        self._around = around
        self._said: deque[Utterance] = deque()
        self._to_speak: deque[tuple[str, str, str, tuple[str, ...]]] = deque()
        self._wake_translate = asyncio.Event()
        self._wake_speak = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def add(self, utterance: Utterance) -> None:
        if len(self._said) >= MAX_WAITING:
            last = self._said.pop()
            utterance = replace(last, text=f"{last.text} {utterance.text}", end_ms=utterance.end_ms)
        self._said.append(utterance)
        self._settled.clear()
        self._wake_translate.set()

    async def settled(self) -> None:
        """Returns when every utterance given so far is committed."""
        await self._settled.wait()

    async def translate_forever(self) -> None:
        await self._warm()
        while True:
            await self._wake_translate.wait()
            self._wake_translate.clear()
            while self._said:
                utterance = self._said[0]
                try:
                    await self._interpret(utterance)
                except Exception:
                    log.exception("turn %s could not be interpreted", utterance.turn_id)
                    self._around.warn("turn_failed", "An utterance could not be processed.")
                if self._said and self._said[0] is utterance:
                    self._said.popleft()
            self._settled.set()

    async def speak_forever(self) -> None:
        while True:
            await self._wake_speak.wait()
            self._wake_speak.clear()
            while self._to_speak:
                turn_id, text, language, listener_ids = self._to_speak.popleft()
                try:
                    await self._speak(turn_id, text, language, listener_ids)
                except Exception:
                    log.exception("turn %s could not be spoken", turn_id)
                    self._around.warn("synthesis_failed", f"A translation could not be spoken in {language}.")

    async def _warm(self) -> None:
        source = self._around.speaker().language
        for target in self._around.plan().captions if source else ():
            translator = self._engines.translator(source or "", target)
            if translator is not None:
                try:
                    await translator.warm(source or "", target)
                except EngineError as error:
                    log.warning("translation %s to %s is not ready: %s", source, target, error)

    async def _interpret(self, utterance: Utterance) -> None:
        source = utterance.language or self._around.speaker().language
        plan = self._around.plan()
        spoken = {route.target: route.listener_ids for route in plan.translated}
        texts: list[str | None] = []
        if source is not None:
            texts = await asyncio.gather(*(self._translated(utterance.text, source, to) for to in plan.captions))
        translations = tuple(
            Translation(language, text) for language, text in zip(plan.captions, texts, strict=False) if text
        )
        turn = await self._around.commit(utterance, translations)
        for translation in turn.translations:
            if translation.language in spoken:
                listeners = spoken[translation.language]
                self._to_speak.append((turn.id, translation.text, translation.language, listeners))
        while len(self._to_speak) > MAX_WAITING:
            self._to_speak.popleft()
            self._around.warn("playout_behind", "Speech output is too far behind; the oldest translation was skipped.")
        self._wake_speak.set()

    async def _translated(self, text: str, source: str, target: str) -> str | None:
        translator = self._engines.translator(source, target)
        if translator is None:
            self._around.warn("translation_unavailable", f"No engine translates from {source} to {target}.")
            return None
        try:
            async with asyncio.timeout(TRANSLATION_TIMEOUT_S):
                return await translator.translate(text, source, target)
        except (EngineError, TimeoutError) as error:
            log.warning("translation %s to %s failed: %s", source, target, type(error).__name__)
            self._around.warn("translation_failed", f"An utterance could not be translated from {source} to {target}.")
            return None

    async def _speak(self, turn_id: str, text: str, language: str, listener_ids: tuple[str, ...]) -> None:
        hearings = self._around.hearings(listener_ids)
        if not hearings:
            return
        synthesizer = self._engines.synthesizer(language)
        if synthesizer is None:
            self._around.warn("synthesis_unavailable", f"No engine speaks {language}.")
            return
        speaker = self._around.speaker().role
        begun = False
        try:
            async with asyncio.timeout(SYNTHESIS_TIMEOUT_S):
                async for pcm in synthesizer.synthesize(text, language, voice_for(self._voices, language)):
                    if not begun:
                        begun = True
                        for hearing in hearings:
                            hearing.begin(turn_id, speaker, synthesizer.sample_rate_hz)
                    for hearing in hearings:
                        hearing.speak(turn_id, pcm)
        except (EngineError, TimeoutError) as error:
            log.warning("synthesis in %s failed: %s", language, type(error).__name__)
            self._around.warn("synthesis_failed", f"A translation could not be spoken in {language}.")
        finally:
            if begun:
                for hearing in hearings:
                    hearing.end(turn_id)


def voice_for(voices: Mapping[str, Any] | None, language: str) -> Voice:
    """The ``voice`` object of a session holds one voice for all languages, or one by language."""
    if not voices:
        return Voice()
    base = language.split("-")[0]
    chosen: Any = voices.get(language) or voices.get(base) or voices
    name, speed = chosen.get("name"), chosen.get("speed")
    return Voice(name if isinstance(name, str) else None, float(speed) if isinstance(speed, int | float) else 1.0)
