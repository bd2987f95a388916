"""One participant as a speaker: their audio heard, their utterances turned into turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kallglot.ids import TURN, new_id
from kallglot.session import events
from kallglot.session.ear import Ear
from kallglot.session.interpreter import Interpreter, Surroundings, Utterance
from kallglot.session.model import Participant, Session
from kallglot.session.ports import Engines
from kallglot.session.routes import Plan
from kallglot.session.turns import TurnIds
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import Partial, RecognizerEvent, Restarted, SpeechStarted, SpeechStopped

TAKEOVER_MS: Final = 500
"""A speaker heard on two legs at once is heard on the newer; the older is heard again when that one falls silent."""
SURE_ENOUGH: Final = 0.6
"""Confidence from which a detected language is taken for a participant who named none."""


class Speaker:
    def __init__(
        self,
        session: Session,
        participant: Participant,
        engines: Engines,
        around: Surroundings,
        *,
        now_ms: Callable[[], float],
        emit: Callable[[events.SessionEvent], None],
        learn_language: Callable[[str, str], None],
    ) -> None:
        self.participant_id = participant.id
        self.muted = False
        self._session = session
        self._engines = engines
        self._around = around
        self._now_ms = now_ms
        self._emit = emit
        self._learn_language = learn_language
        self._turn_ids = TurnIds()
        self._ear: Ear | None = None
        self._deaf = False
        self._source: tuple[str, int] | None = None
        self._source_heard_ms = 0.0
        self.interpreter = Interpreter(engines, session.voice, around)

    @property
    def participant(self) -> Participant:
        return self._around.speaker()

    @property
    def plan(self) -> Plan:
        return self._around.plan()

    @property
    def backlog_ms(self) -> float:
        return self._ear.backlog_ms if self._ear else 0.0

    def hear(self, leg_id: str, leg_order: int, pcm: bytes, sample_rate_hz: int, *, gap_ms: int, stamped: bool) -> bool:
        """Takes a chunk from a leg; False where it is not used: muted, or another leg has this speaker."""
        now = self._now_ms()
        source = (leg_id, leg_order)
        new_source = self._source != source
        if new_source and self._source is not None:
            newer = leg_order > self._source[1]
            if not newer and now - self._source_heard_ms < TAKEOVER_MS:
                return False
        self._source, self._source_heard_ms = source, now
        if self.muted:
            pcm = bytes(len(pcm))
        ear = self._ear or self._listen()
        if ear is not None:
            ear.hear(pcm, sample_rate_hz, gap_ms=gap_ms, stamped=stamped, new_source=new_source)
        return not self.muted

    def type(self, text: str) -> None:
        """Text instead of speech."""
        now = round(self._now_ms())
        language = self._language_of(text, None)
        self.interpreter.add(Utterance(new_id(TURN), text, now, now, language, 1.0))

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

    def _listen(self) -> Ear | None:
        if self._deaf:
            return None
        participant = self.participant
        recognizer = self._engines.recognizer(participant.language)
        if recognizer is None:
            self._deaf = True
            self._around.warn(
                "recognition_unavailable",
                f"No engine recognises speech in {participant.language or 'any language'}; "
                f"what {participant.role} says is not transcribed. text.input works.",
            )
            return None
        options = self._session.transcription
        self._ear = Ear(
            recognizer,
            language=participant.language,
            partials=bool(options.get("partials", True)),
            terms=tuple(options.get("terms") or ()),
            now_ms=self._now_ms,
            on_event=self._on_recognised,
            on_failure=lambda _: self._around.warn("recognition_delayed", "Speech recognition is being started again."),
        )
        return self._ear

    def _on_recognised(self, event: RecognizerEvent, origin_ms: int) -> None:
        participant = self.participant
        match event:
            case SpeechStarted():
                self._emit(events.SpeechStarted(participant, origin_ms + event.at_ms))
            case SpeechStopped():
                self._emit(events.SpeechStopped(participant, origin_ms + event.at_ms))
            case Partial():
                turn_id = self._turn_ids.of_partial(origin_ms + event.start_ms)
                self._emit(
                    events.TranscriptPartial(
                        participant, turn_id, event.text, event.stable_text, origin_ms + event.start_ms
                    )
                )
            case FinalText():
                start, end = origin_ms + event.start_ms, origin_ms + event.end_ms
                turn_id = self._turn_ids.of_final(start, end)
                language = self._language_of(event.text, event.language)
                self.interpreter.add(Utterance(turn_id, event.text, start, end, language, event.confidence))
            case Restarted():
                message = "The speech recogniser was restarted; nothing was lost."
                if event.lost_ms:
                    message = f"The speech recogniser was restarted; {event.lost_ms} ms of audio were lost."
                self._around.warn("recognition_restarted", message)

    def _language_of(self, text: str, heard: str | None) -> str | None:
        """The participant's own language; where they named none, the one detected, which is then theirs."""
        known = self.participant.language
        if known is not None:
            return known
        if heard is None:
            detector = self._engines.detector()
            detection = detector.detect(text) if detector is not None else None
            if detection is None or detection.confidence < SURE_ENOUGH:
                return None
            heard = detection.language
        self._learn_language(self.participant_id, heard)
        return heard
