"""A stream inside the child, with what is still owed for it. Pure."""

from __future__ import annotations

from typing import Any

from kallglot.audio.levels import Floats
from kallglot.speech.engines.recognition_models import Cadence, Heard
from kallglot.speech.engines.schedule import Job, Urgency
from kallglot.speech.engines.utterances import Utterance, UtteranceStream
from kallglot.speech.frames import Kind


class Listening:
    """``options`` are those of the frame that opened the stream."""

    def __init__(self, number: int, options: dict[str, Any], cadence: Cadence) -> None:
        self.number = number
        self.partials = bool(options["partials"])
        self.language: str | None = options.get("language")
        self.among = tuple(options.get("among") or ())
        self.utterances = UtteranceStream(options["rate"], options["start"], cadence)
        self.inbox: list[tuple[Kind, bytes]] = []
        self.owed: dict[int, Utterance] = {}
        """Ended utterances whose final text has not been told, in order."""
        self.texts: dict[int, Heard] = {}
        self.drains: list[tuple[bytes, int]] = []
        """Who waits, and for the finals of which utterance and all before it."""
        self.committed = int(options["start"])
        self.rested = False
        """The audio so far was said to be complete."""
        self.decode_seconds = 0.0

    def job(self, utterance: Utterance, urgency: Urgency, audio: Floats, *, cut: bool = False) -> Job:
        rate = self.utterances.rate
        return Job(
            self.number, utterance.number, urgency, utterance.last, audio, rate, self.language, self.among, cut=cut
        )
