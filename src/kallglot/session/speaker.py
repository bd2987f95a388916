"""One participant as a speaker: their audio heard, their utterances committed as turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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
from kallglot.speech.types import Detection, Partial, RecognizerEvent, Restarted, SpeechStarted, SpeechStopped
from kallglot.speech.types import Final as FinalText

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


class Speaker:
    def __init__(
        self, session: Session, participant: Participant, engines: Engines, around: Surroundings, listening: Listening
    ) -> None:
        self.participant_id = participant.id
        self.muted = False
        self._session = session
        self._engines = engines
        self._around = around
        self._session_side = listening
        self._clauses = Clauses()
        self._clock = MediaClock()
        self._languages = LanguageTracker(participant.language)
        self._declared = participant.language is not None
        self._first_partials: dict[str, int] = {}
        self._terms = Terms(tuple(session.transcription.get("terms") or ()))
        self._shows_partials = bool(session.transcription.get("partials", True))
        self._ear: Ear | None = None
        self._deaf = False
        self._source: tuple[str, int] | None = None
        self._source_heard_ms = 0.0
        self.interpreter = Interpreter(engines, session, around)

    @property
    def participant(self) -> Participant:
        return self._around.speaker()

    @property
    def backlog_ms(self) -> float:
        return self._ear.backlog_ms if self._ear else 0.0

    def hear(
        self, leg_id: str, leg_order: int, pcm: bytes, sample_rate_hz: int, stamp_ms: float | None
    ) -> Placed | None:
        """Takes a chunk from a leg; where it lies, or None where it is not used: another leg has this speaker."""
        now = self._session_side.now_ms()
        source = (leg_id, leg_order)
        if (
            self._source not in (None, source)
            and leg_order < self._source[1]
            and now - self._source_heard_ms < TAKEOVER_MS
        ):
            return None
        self._source, self._source_heard_ms = source, now
        placed = self._clock.place(leg_id, now, len(pcm) / 2 * 1000 / sample_rate_hz, stamp_ms)
        ear = self._ear or self._listen()
        if ear is not None:
            ear.hear(bytes(len(pcm)) if self.muted else pcm, sample_rate_hz, placed)
        return placed

    def type(self, text: str) -> None:
        """Text instead of speech."""
        now = round(self._session_side.now_ms())
        if not self._declared:
            self._consider(self._detected(text), text)
        self.interpreter.add(Utterance(new_id(TURN), text, now, now, self.participant.language, now, confidence=1.0))

    def speaks_in(self, language: str) -> None:
        """The participant goes on in another language, as they say themselves."""
        self._declared = True
        self._languages.declare(language)
        self._relisten(language, self._clock.end_ms)

    def tick(self) -> None:
        if self._ear is not None:
            self._ear.tick()

    async def drain(self) -> None:
        """Every utterance so far is recognised, translated and committed."""
        if self._ear is not None:
            await self._ear.drain()
        await self.interpreter.settled()

    async def close(self) -> None:
        if self._ear is not None:
            await self._ear.close()
            self._ear = None

    # The ear

    def _listen(self) -> Ear | None:
        if self._deaf:
            return None
        participant = self.participant
        recognizer = self._engines.recognizer(participant.language)
        if recognizer is None:
            self._deaf = True
            self._warn_unheard(participant.language)
            return None
        self._ear = Ear(
            recognizer,
            language=participant.language,
            # Somebody who talks on is translated by what the partials say.
            partials=self._shows_partials or bool(self._around.plan().captions),
            terms=tuple(self._session.transcription.get("terms") or ()),
            keeps=not self._declared,
            now_ms=self._session_side.now_ms,
            on_event=self._on_recognised,
            on_failure=lambda _: self._around.warn("recognition_delayed", "Speech recognition is being started again."),
        )
        return self._ear

    def _relisten(self, language: str, from_ms: float) -> bool:
        """Another recogniser where the language needs one; whether what was heard from there on is heard again."""
        self._deaf = False
        recognizer = self._engines.recognizer(language)
        if recognizer is None:
            self._warn_unheard(language)
            return False
        if self._ear is None or (recognizer is self._ear.recognizer and len(recognizer.languages) == 1):
            return False
        self._clauses.forget()
        self._ear.relisten(recognizer, language, from_ms)
        return True

    def _warn_unheard(self, language: str | None) -> None:
        name = english_name(language) if language else "any language"
        self._around.warn(
            "recognition_unavailable",
            f"No engine recognises speech in {name}; what {self.participant.role} says is not transcribed."
            " text.input works.",
        )

    # What it hears

    def _on_recognised(self, event: RecognizerEvent, origin_ms: int) -> None:
        match event:
            case SpeechStarted():
                self._session_side.speaking(self.participant_id, True)
                self._session_side.emit(events.SpeechStarted(self.participant, origin_ms + event.at_ms))
            case SpeechStopped():
                self._session_side.speaking(self.participant_id, False)
                self._session_side.emit(events.SpeechStopped(self.participant, origin_ms + event.at_ms))
            case Partial():
                self._on_partial(event, origin_ms)
            case FinalText():
                self._on_final(event, origin_ms)
            case Restarted():
                message = "The speech recogniser was restarted; nothing was lost."
                if event.lost_ms:
                    message = f"The speech recogniser was restarted; {event.lost_ms} ms of audio were lost."
                self._around.warn("recognition_restarted", message)

    def _on_partial(self, event: Partial, origin_ms: int) -> None:
        self._clauses.dividing = self.participant.language is not None and bool(self._around.plan().captions)
        segment, tentative = self._clauses.partial(
            event.text, event.stable_text, origin_ms + event.start_ms, self._clock.end_ms
        )
        if segment is not None:
            self._commit(segment, self.participant.language, None)
        self._show(tentative)

    def _on_final(self, event: FinalText, origin_ms: int) -> None:
        start, end = origin_ms + event.start_ms, origin_ms + event.end_ms
        result = self._clauses.final(event.text, start, end)
        if self._heard_again(event, start):
            if isinstance(result, Segment) and result.turn_id in self._first_partials:
                self._show(Tentative(result.turn_id, "", "", start))
        elif isinstance(result, Segment):
            self._commit(result, event.language or self.participant.language, event.confidence)
        elif result is not None:
            self._show(result)

    def _commit(self, segment: Segment, language: str | None, confidence: float | None) -> None:
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
            )
        )

    def _show(self, tentative: Tentative) -> None:
        if tentative.text:
            self._first_partials.setdefault(tentative.turn_id, round(self._session_side.now_ms()))
        elif self._first_partials.pop(tentative.turn_id, None) is None:
            return
        if self._shows_partials:
            text, stable = self._terms.correct(tentative.text), self._terms.correct(tentative.stable_text)
            self._session_side.emit(
                events.TranscriptPartial(self.participant, tentative.turn_id, text, stable, tentative.start_ms)
            )

    # Its language

    def _heard_again(self, event: FinalText, start_ms: int) -> bool:
        """Considers what language the utterance was in; whether another recogniser is going to hear it again."""
        detection = Detection(event.language, event.confidence or 1.0) if event.language else self._detected(event.text)
        learned = self._consider(detection, event.text)
        return learned is not None and event.language is None and self._relisten(learned, start_ms - RELISTEN_MS)

    def _detected(self, text: str) -> Detection | None:
        detector = self._engines.detector()
        return detector.detect(text) if detector is not None else None

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
