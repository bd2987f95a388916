"""One participant as a speaker: their audio heard, their utterances committed as turns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kallglot import logs
from kallglot.audio.mediaclock import MediaClock, Placed
from kallglot.ids import TURN, new_id
from kallglot.session import events
from kallglot.session.clauses import Clauses, Segment, Tentative
from kallglot.session.detection import Doubt, LanguageTracker, Learned, Undetected
from kallglot.session.ear import Ear
from kallglot.session.interpreter import Interpreter, Surroundings, Utterance
from kallglot.session.model import Participant, Session
from kallglot.session.ports import Engines
from kallglot.speech.languages import english_name
from kallglot.speech.terms import Terms
from kallglot.speech.types import (
    Detection,
    Failed,
    Partial,
    Recognizer,
    RecognizerEvent,
    Restarted,
    SpeechStarted,
    SpeechStopped,
)
from kallglot.speech.types import Final as FinalText
from kallglot.speech.used import Heard, Meter, metering

log = logging.getLogger(__name__)

TAKEOVER_MS: Final = 500
"""A speaker heard on two legs at once is heard on the newer; the older is heard again when that one falls silent."""
RELISTEN_MS: Final = 500
"""Before an utterance that is heard again: speech begins before it is noticed."""


@dataclass(frozen=True, slots=True)
class Listening:
    """What a speaker needs of the session around it."""

    now_ms: Callable[[], float]
    emit: Callable[[events.SessionEvent], None]
    learned: Callable[[str, Learned], None]
    speaking: Callable[[str, bool], None]
    redacted: Callable[[str, str, str | None, int], str | None]
    """A text that is still going on, as it may be shown: participant, text, language, where it begins. None where that
    takes too long to tell."""
    besides: Meter
    """What engines did that no turn tells of."""


class Speaker:
    def __init__(
        self,
        session: Session,
        participant: Participant,
        engines: Engines,
        around: Surroundings,
        listening: Listening,
        said_ms: float = 0.0,
    ) -> None:
        """``said_ms``: where an earlier life of the session left off with this speaker."""
        self.participant_id = participant.id
        self.muted = participant.muted
        self.held = False
        self._session = session
        self._engines = engines
        self._around = around
        self._session_side = listening
        self._clauses = Clauses()
        self._clock = MediaClock(said_ms)
        self._declared = participant.language is not None and not participant.detected
        self._languages = LanguageTracker(participant.language, declared=self._declared)
        self._first_partials: dict[str, int] = {}
        self._given: tuple[tuple[str, int], ...] = ()
        """Audio that engines were given, of which no turn has come yet."""
        self._terms = Terms(tuple(session.transcription.get("terms") or ()))
        self._shows_partials = bool(session.transcription.get("partials", True))
        self._ear: Ear | None = None
        self._deaf = False
        self._speaking = False
        self._recognised_ms = 0.0
        """Where the last utterance ended that was recognised."""
        self._source = 0
        """The leg that they are heard on, by the order in which legs came."""
        self._source_heard_ms = 0.0
        self.interpreter = Interpreter(engines, session, around)

    @property
    def participant(self) -> Participant:
        return self._around.speaker()

    @property
    def backlog_ms(self) -> float:
        return self._ear.backlog_ms if self._ear else 0.0

    def begins(self, said_ms: float) -> None:
        """Nothing of theirs may lie before."""
        self._clock = MediaClock(max(said_ms, self._clock.end_ms))

    def hear(
        self, leg_id: str, leg_order: int, pcm: bytes, sample_rate_hz: int, stamp_ms: float | None, now_ms: float
    ) -> Placed | None:
        """Takes a chunk from a leg at a millisecond of the session; where it lies, or None where it is not used:
        another leg has this speaker. Legs that came later have the greater ``leg_order``."""
        if leg_order < self._source and now_ms - self._source_heard_ms < TAKEOVER_MS:
            return None
        self._source, self._source_heard_ms = leg_order, now_ms
        placed = self._clock.place(leg_id, now_ms, len(pcm) / 2 * 1000 / sample_rate_hz, stamp_ms)
        ear = None if self._deaf else self._ear or self._listen()
        if ear is not None:
            ear.hear(bytes(len(pcm)) if self.silenced else pcm, sample_rate_hz, placed, now_ms)
        return placed

    def type(self, text: str) -> None:
        """Text instead of speech."""
        now = round(self._session_side.now_ms())
        if not self._declared:
            learned = self._consider(self._detected(text), text)
            if learned is not None:
                self._relisten(learned, self._recognised_ms)
        language = self.participant.language
        self.interpreter.add(Utterance(new_id(TURN), text, now, now, language, now, confidence=1.0, routed=language))

    def speaks_in(self, language: str) -> None:
        """The participant goes on in another language, as they say themselves."""
        self._declared = True
        self._languages.declare(language)
        recognizer = self._engines.recognizer(language)
        self._deaf = recognizer is None
        if recognizer is None:
            self._warn_unheard(language)
        if self._ear is not None and not self._serves(recognizer):
            self._heard_speaking(False, self._clock.end_ms)
            self._ear.hand_over(recognizer, language, partials=self._wants_partials)

    @property
    def silenced(self) -> bool:
        return self.muted or self.held

    def tick(self, now_ms: float) -> None:
        if self._ear is not None:
            self._ear.tick(now_ms)

    async def drain(self) -> None:
        """Every utterance so far is recognised, translated and committed."""
        if self._ear is not None:
            await self._ear.drain()
        await self.interpreter.settled()

    async def close(self) -> None:
        if self._ear is not None:
            await self._ear.close()
            self._ear = None

    @property
    def untold(self) -> tuple[tuple[str, int], ...]:
        """Engines, and how many milliseconds of audio they were given of which no turn has come."""
        return self._given + (() if self._ear is None else self._ear.untold)

    # The ear

    def _listen(self) -> Ear | None:
        participant = self.participant
        recognizer = self._engines.recognizer(participant.language)
        if recognizer is None:
            self._deaf = True
            self._warn_unheard(participant.language)
            return None
        with logs.of_session(self._session.id), metering(self._session_side.besides):
            self._ear = self._new_ear(recognizer)
        return self._ear

    def _new_ear(self, recognizer: Recognizer) -> Ear:
        participant = self.participant
        return Ear(
            recognizer,
            language=participant.language,
            partials=self._wants_partials,
            terms=tuple(self._session.transcription.get("terms") or ()),
            keeps=not self._declared,
            translate_to=self._translate_to,
            on_event=self._on_recognised,
            on_failure=lambda _: self._around.warn("recognition_delayed", "Speech recognition is being started again."),
        )

    @property
    def _wants_partials(self) -> bool:
        """Somebody who talks on is translated by what the partials say."""
        return self._shows_partials or bool(self._around.plan(None).captions)

    def _translate_to(self, language: str | None) -> str | None:
        """The one language that a recogniser may translate to in the same stream, where nobody has chosen a
        translator."""
        captions = self._around.plan(None).captions
        if language is None or len(captions) != 1 or self._session.translation.get("glossary"):
            return None
        return None if self._engines.translation_chosen(language, captions[0]) else captions[0]

    def _serves(self, recognizer: Recognizer | None) -> bool:
        """Whether the ear hears with this one already, whatever the language."""
        ear = self._ear
        return ear is not None and recognizer is ear.recognizer and len(ear.recognizer.languages) == 1

    def _relisten(self, language: str, from_ms: float) -> bool:
        """Another recogniser where the language needs one; whether what was heard from there on is heard again."""
        recognizer = self._engines.recognizer(language)
        if recognizer is None:
            # The one there is goes on: what it hears may be told to be in another language yet.
            self._warn_unheard(language)
            return False
        self._deaf = False
        if self._ear is None or self._serves(recognizer):
            return False
        self._heard_speaking(False, self._clock.end_ms)
        if self._clauses.divided:
            # What was committed stands, and would be heard twice.
            self._ear.hand_over(recognizer, language, partials=self._wants_partials, keeps=True)
            return False
        for tentative in self._clauses.forget():
            self._show(tentative)
        self._ear.relisten(recognizer, language, from_ms, partials=self._wants_partials)
        return True

    def _warn_unheard(self, language: str | None) -> None:
        name = english_name(language) if language else "any language"
        self._around.warn(
            "recognition_unavailable",
            f"No engine recognises speech in {name}; what {self.participant.role} says is not transcribed."
            " text.input works.",
        )

    # What it hears

    def _on_recognised(self, event: RecognizerEvent, origin_ms: int, before: str | None) -> None:
        """``before``: it was said before the participant went on in another language."""
        match event:
            case SpeechStarted():
                if before is None:
                    self._heard_speaking(True, origin_ms + event.at_ms)
            case SpeechStopped():
                if before is None:
                    self._heard_speaking(False, origin_ms + event.at_ms)
            case Partial():
                self._on_partial(event, origin_ms, before)
            case FinalText():
                self._on_final(event, origin_ms, before)
            case Restarted():
                message = "The speech recogniser was restarted; nothing was lost."
                if event.lost_ms:
                    message = f"The speech recogniser was restarted; {event.lost_ms} ms of audio were lost."
                self._around.warn("recognition_restarted", message)
            case Failed():
                self._around.warn("recognition_unavailable", "The speech recogniser has given up.")

    def _heard_speaking(self, speaking: bool, at_ms: float) -> None:
        if speaking == self._speaking:
            return
        self._speaking = speaking
        self._session_side.speaking(self.participant_id, speaking)
        told = events.SpeechStarted if speaking else events.SpeechStopped
        self._session_side.emit(told(self.participant, round(at_ms)))

    def _on_partial(self, event: Partial, origin_ms: int, before: str | None) -> None:
        language = before or self.participant.language
        self._clauses.dividing = language is not None and bool(self._around.plan(language).captions)
        segment, tentative = self._clauses.partial(
            event.text, event.stable_text, origin_ms + event.start_ms, self._clock.end_ms, event.hypothesis
        )
        if segment is not None:
            self._commit(segment, language, None, language)
        self._show(tentative)

    def _on_final(self, event: FinalText, origin_ms: int, before: str | None) -> None:
        start, end = origin_ms + event.start_ms, origin_ms + event.end_ms
        divided = self._clauses.divided
        if isinstance(event, Heard):
            self._given += event.given
        result = self._clauses.final(event.text, start, end)
        again_from = end if divided else max(start - RELISTEN_MS, self._recognised_ms)
        self._recognised_ms = max(self._recognised_ms, end)
        if before is None and event.text.strip() and self._heard_again(event, again_from) and not divided:
            self._recognised_ms = again_from
            if isinstance(result, Segment) and result.turn_id in self._first_partials:
                self._show(Tentative(result.turn_id, "", "", start))
        elif isinstance(result, Segment):
            language = before or self.participant.language
            translated = None if divided or before is not None or self._ear is None else self._ear.translated(event)
            self._commit(result, before or event.language or language, event.confidence, language, translated)
        elif result is not None:
            self._show(result)

    def _commit(
        self,
        segment: Segment,
        language: str | None,
        confidence: float | None,
        routed: str | None,
        translated: tuple[str, str] | None = None,
    ) -> None:
        given, self._given = self._given, ()
        self.interpreter.add(
            Utterance(
                segment.turn_id,
                self._terms.correct(segment.text),
                segment.start_ms,
                segment.end_ms,
                language,
                round(self._session_side.now_ms()),
                self._first_partials.pop(segment.turn_id, None),
                confidence,
                routed,
                given,
                translated,
            )
        )

    def _show(self, tentative: Tentative) -> None:
        if tentative.text:
            self._first_partials.setdefault(tentative.turn_id, round(self._session_side.now_ms()))
        elif self._first_partials.pop(tentative.turn_id, None) is None:
            return
        if self._shows_partials:
            text = self._terms.correct(tentative.text)
            stable = _beginning(self._terms.correct(tentative.stable_text), text)
            shown = self._redacted(text, tentative)
            if shown is None:
                return
            if shown != text:
                text, stable = shown, _beginning(self._redacted(stable, tentative) or "", shown)
            self._session_side.emit(
                events.TranscriptPartial(self.participant, tentative.turn_id, text, stable, tentative.start_ms)
            )

    def _redacted(self, text: str, tentative: Tentative) -> str | None:
        at_ms = tentative.start_ms
        return self._session_side.redacted(self.participant_id, text, self.participant.language, at_ms)

    # Its language

    def _heard_again(self, event: FinalText, from_ms: float) -> bool:
        """Considers what language the utterance was in; whether another recogniser hears again what came from there."""
        if event.language:
            confidence = 1.0 if event.confidence is None else event.confidence
            detection: Detection | None = Detection(event.language, confidence)
        else:
            detection = self._detected(event.text)
        learned = self._consider(detection, event.text)
        if learned is None or event.language is not None:
            return False
        return self._relisten(learned, from_ms)

    def _detected(self, text: str) -> Detection | None:
        try:
            detector = self._engines.detector()
            return detector.detect(text) if detector is not None else None
        except Exception:
            log.exception("the language of an utterance could not be told")
            return None

    def _consider(self, detection: Detection | None, text: str) -> str | None:
        """The language that was learned just now, if one was."""
        verdict = self._languages.heard(detection, len(text.split()))
        role = self.participant.role
        match verdict:
            case Learned():
                self._session_side.learned(self.participant_id, verdict)
                return verdict.language
            case Doubt():
                declared, heard = english_name(verdict.declared), english_name(verdict.heard)
                self._around.warn("language_mismatch", f"The {role} seems to speak {heard}, not {declared}.")
            case Undetected():
                self._around.warn("language_undetected", f"It could not be told yet which language the {role} speaks.")
            case None:
                pass
        return None


def _beginning(stable: str, text: str) -> str:
    """What of ``stable`` is a beginning of ``text``: a term may have been corrected that ends beyond it."""
    same = next((n for n, (one, other) in enumerate(zip(stable, text, strict=False)) if one != other), len(stable))
    return stable[:same].rstrip()
