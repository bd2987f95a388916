"""From one speaker's committed words to translated, stored, spoken turns.

Two workers: one translates and commits in order, the other speaks, so that a long sentence being spoken never holds up
the text of the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kallglot.session.hearing import Hearing
from kallglot.session.model import Participant, Role, Session, Translation, Turn
from kallglot.session.ports import Engines
from kallglot.session.routes import Plan, same_language
from kallglot.speech import guards
from kallglot.speech.faithful import FaithfulTranslator
from kallglot.speech.keepsakes import keepsakes, missing
from kallglot.speech.types import EngineError, Hints, Translator, Voice
from kallglot.speech.used import Meter, metering
from kallglot.texts import cleaned

log = logging.getLogger(__name__)

TRANSLATION_TIMEOUT_S: Final = 5.0
WARM_TIMEOUT_S: Final = 20.0
SYNTHESIS_TIMEOUT_S: Final = 15.0
MAX_WAITING: Final = 64
"""Utterances waiting for a translator; beyond it they are joined rather than lost."""
CONTEXT_PAIRS: Final = 2


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a speaker said or typed, on the session's timeline. ``committed_ms`` is when it was settled."""

    turn_id: str
    text: str
    start_ms: int
    end_ms: int
    language: str | None
    committed_ms: int
    first_partial_ms: int | None = None
    confidence: float | None = None
    routed: str | None = None
    """The participant's language when it was said, by which it is routed; None: as it is by now."""
    given: tuple[tuple[str, int], ...] = ()
    """Engines that were given how many milliseconds of audio for it."""
    translated: tuple[str, str] | None = None
    """A language, and the translation to it that the recogniser brought along."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an interpreter sees of its session, always as it is at that moment."""

    speaker: Callable[[], Participant]
    plan: Callable[[str | None], Plan]
    """For what was said in a language; None: in the speaker's."""
    hearings: Callable[[Sequence[str]], list[Hearing]]
    commit: Callable[[Utterance, tuple[Translation, ...], int, Meter], Awaitable[Turn]]
    """Stores and tells a turn, which is going to be spoken in so many languages; what engines did for it is metered."""
    begun: Callable[[str, Sequence[Hearing], str], None]
    """A turn was handed to these listeners in a language."""
    spoken: Callable[[str], None]
    warn: Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Speech:
    turn_id: str
    text: str
    language: str
    listener_ids: tuple[str, ...]
    meter: Meter


class Interpreter:
    def __init__(self, engines: Engines, session: Session, around: Surroundings) -> None:
        self._engines = engines
        self._voices = session.voice
        self._around = around
        self._glossary = _glossary(session, around.speaker().role)
        formality = session.translation.get("formality")
        self._formality: str | None = None if formality == "default" else formality
        self._names = (
            *(session.transcription.get("terms") or ()),
            *(participant.name for participant in session.participants if participant.name),
        )
        self._translators: dict[int, FaithfulTranslator] = {}
        self._context: dict[tuple[str, str], deque[tuple[str, str]]] = {}
        self._said: deque[Utterance] = deque()
        self._to_speak: deque[_Speech] = deque()
        self._wake_translate = asyncio.Event()
        self._wake_speak = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def full(self) -> bool:
        return len(self._said) >= MAX_WAITING

    def add(self, utterance: Utterance) -> None:
        utterance = replace(utterance, text=cleaned(utterance.text))
        if self.full:
            last = self._said.pop()
            utterance = replace(
                last,
                text=f"{last.text} {utterance.text}",
                end_ms=utterance.end_ms,
                given=last.given + utterance.given,
                translated=None,
            )
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
                speech = self._to_speak.popleft()
                try:
                    with metering(speech.meter):
                        await self._speak(speech)
                except Exception:
                    log.exception("turn %s could not be spoken", speech.turn_id)
                    self._around.warn("synthesis_failed", f"A translation could not be spoken in {speech.language}.")
                finally:
                    self._around.spoken(speech.turn_id)

    async def _warm(self) -> None:
        source = self._around.speaker().language
        for target in self._around.plan(None).captions if source else ():
            translator = self._engines.translator(source or "", target)
            if translator is not None:
                try:
                    async with asyncio.timeout(WARM_TIMEOUT_S):
                        await translator.warm(source or "", target)
                except Exception as error:
                    log.warning("translation %s to %s is not ready: %s", source, target, error or type(error).__name__)

    async def _interpret(self, utterance: Utterance) -> None:
        source = utterance.language or self._around.speaker().language
        plan = self._around.plan(utterance.routed)
        spoken = {route.target: route.listener_ids for route in plan.translated}
        texts: list[str | None] = []
        meter = Meter()
        for engine, ms in utterance.given:
            meter.add("recognition", engine, source, audio_ms=ms)
        if source is not None:
            with metering(meter):
                texts = await asyncio.gather(*(self._translated(utterance, source, to) for to in plan.captions))
        translations = tuple(
            Translation(language, text) for language, text in zip(plan.captions, texts, strict=False) if text
        )
        speeches = [
            _Speech(utterance.turn_id, translation.text, translation.language, spoken[translation.language], meter)
            for translation in translations
            if translation.language in spoken
        ]
        await self._around.commit(utterance, translations, len(speeches), meter)
        self._to_speak.extend(speeches)
        while len(self._to_speak) > MAX_WAITING:
            self._around.spoken(self._to_speak.popleft().turn_id)
            self._around.warn("playout_behind", "Speech output is too far behind; the oldest translation was skipped.")
        self._wake_speak.set()

    async def _translated(self, utterance: Utterance, source: str, target: str) -> str | None:
        text = utterance.text
        if same_language(source, target):
            # Somebody speaks the listener's language for a sentence, and their own voice is not heard.
            return text
        context = self._context.setdefault((source, target), deque(maxlen=CONTEXT_PAIRS))
        brought = _brought(utterance, target)
        lost = missing(keepsakes(text, self._names), brought) if brought else []
        if brought and not lost:
            translation = brought
        elif made := await self._made(text, source, target, tuple(context), quietly=brought is not None):
            translation = made
        elif brought:
            translation = f"{brought} ({', '.join(lost)})"
        else:
            return None
        context.append((text, translation))
        return translation

    async def _made(
        self, text: str, source: str, target: str, context: tuple[tuple[str, str], ...], *, quietly: bool
    ) -> str | None:
        """By a translator; None where there is none or it failed, which is told unless it is to go on ``quietly``."""
        hints = Hints(context, self._glossary, self._formality)
        try:
            translator = self._engines.translator(source, target)
            if translator is not None:
                return cleaned(await self._faithful(translator).translate(text, source, target, hints))
            trouble = "translation_unavailable", f"No engine translates from {source} to {target}."
        except Exception as error:
            expected = isinstance(error, EngineError | TimeoutError)
            log.warning("translation %s to %s failed: %s", source, target, type(error).__name__, exc_info=not expected)
            trouble = "translation_failed", f"An utterance could not be translated from {source} to {target}."
        if not quietly:
            self._around.warn(*trouble)
        return None

    def _faithful(self, translator: Translator) -> FaithfulTranslator:
        found = self._translators.get(id(translator))
        if found is None:
            found = self._translators[id(translator)] = FaithfulTranslator(
                translator, self._glossary, self._names, timeout_s=TRANSLATION_TIMEOUT_S
            )
        return found

    async def _speak(self, speech: _Speech) -> None:
        hearings = self._around.hearings(speech.listener_ids)
        if not hearings:
            return
        synthesizer = self._engines.synthesizer(speech.language)
        if synthesizer is None:
            self._around.warn("synthesis_unavailable", f"No engine speaks {speech.language}.")
            return
        speaker, turn_id = self._around.speaker().role, speech.turn_id
        voice = voice_for(self._voices, speech.language)
        begun = False
        try:
            async with asyncio.timeout(SYNTHESIS_TIMEOUT_S):
                async for pcm in synthesizer.synthesize(speech.text, speech.language, voice):
                    if not pcm:
                        continue
                    if not begun:
                        begun = True
                        self._around.begun(turn_id, hearings, speech.language)
                        for hearing in hearings:
                            hearing.begin(turn_id, speaker, synthesizer.sample_rate_hz)
                    for hearing in hearings:
                        hearing.speak(turn_id, pcm)
        except (EngineError, TimeoutError) as error:
            log.warning("synthesis in %s failed: %s", speech.language, type(error).__name__)
            self._around.warn("synthesis_failed", f"A translation could not be spoken in {speech.language}.")
        finally:
            if begun:
                for hearing in hearings:
                    hearing.end(turn_id)


def voice_for(voices: Any, language: str) -> Voice:
    """The ``voice`` object of a session holds one voice for all languages, or one by language."""
    if not voices:
        return Voice()
    base = language.split("-")[0]
    chosen: Any = voices.get(language) or voices.get(base) or voices
    name, speed = chosen.get("name"), chosen.get("speed")
    return Voice(name if isinstance(name, str) else None, float(speed) if isinstance(speed, int | float) else 1.0)


def _brought(utterance: Utterance, target: str) -> str | None:
    """The translation that the recogniser brought along, unless it cannot be one."""
    if utterance.translated is None or not same_language(utterance.translated[0], target):
        return None
    translation = cleaned(utterance.translated[1])
    wrong = guards.trouble(utterance.text, translation)
    if wrong is not None:
        log.info("a translation that came with its recognition is not taken: %s", wrong)
        return None
    return translation


def _glossary(session: Session, role: Role) -> tuple[tuple[str, str], ...]:
    """As the customer's words are translated; for an agent's the other way round."""
    entries: list[dict[str, str]] = list(session.translation.get("glossary") or ())
    pairs = [(entry["source"], entry["target"]) for entry in entries]
    return tuple(pairs if role == "customer" else [(target, source) for source, target in pairs])
