"""One recogniser stream inside the child: audio in, windows out to be judged, utterances cut. Pure.

Positions are samples on the stream's timeline, gaps included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kallglot.audio.endpointing import START_WITHIN, WINDOW_MS, Endpointer, Step
from kallglot.audio.gain import SpeechGain
from kallglot.audio.gate import EnergyGate
from kallglot.audio.levels import Floats, rms, to_float
from kallglot.speech.engines.recognition_models import Cadence, Heard
from kallglot.speech.engines.silero import WINDOW, VoiceState, Window
from kallglot.speech.stable import StablePrefix

PRE_ROLL_MS: Final = 400
POST_ROLL_MS: Final = 100
BEGINNING_MS: Final = PRE_ROLL_MS + WINDOW_MS * START_WITHIN
"""How far back an utterance that is only now noticed may begin."""
SHORTEST_TEXT: Final = 2
FEWEST_SPEECH_WINDOWS: Final = 4
MUMBLE_WINDOWS: Final = 10
MUMBLES: Final = frozenset(("you", "thank you", "thanks", "bye", "oh", "so"))
"""What the model hears in a breath or a creak of the line: not believed of 0.3 s of speech."""
_USUAL: Final = Cadence()


@dataclass(slots=True)
class Utterance:
    """``end`` is None while it goes on; ``last`` is behind its last speech."""

    number: int
    start: int
    first: int
    last: int
    speech_windows: int
    end: int | None = None
    final_audio: Floats | None = None
    guessed: tuple[int, Heard] | None = None
    """Where its last pause began, and what was recognised in it."""
    guessing: int | None = None
    next_partial: int = 0
    partials: int = 0


def believable(text: str, speech_windows: int) -> bool:
    """Whether so much speech can have been that text, and it is a text at all."""
    letters = "".join(character for character in text.lower() if character.isalnum() or character == " ").strip()
    # In scripts that write syllables one character can be a word.
    shortest = SHORTEST_TEXT if letters.isascii() else 1
    if len(letters) < shortest or speech_windows < FEWEST_SPEECH_WINDOWS:
        return False
    return speech_windows >= MUMBLE_WINDOWS or letters not in MUMBLES


class UtteranceStream:
    def __init__(self, sample_rate_hz: int, start: int, cadence: Cadence = _USUAL) -> None:
        self.cadence = cadence
        self.rate = sample_rate_hz
        self.voice = VoiceState(sample_rate_hz)
        self.stable = StablePrefix()
        self.current: Utterance | None = None
        self.window = WINDOW[sample_rate_hz]
        """In samples."""
        self._gate = EnergyGate()
        self._gain = SpeechGain()
        self._sound = False
        self._endpointer = Endpointer()
        self._base = start
        """Position of the endpointer's window 0."""
        self.windows = 0
        self._audio = bytearray()
        self._audio_start = self._base
        self._given = start
        """Audio up to here was in an utterance: the next does not begin with words that were told."""
        self.count = 0

    @property
    def position(self) -> int:
        """Behind the last judged window."""
        return self._base + self.windows * self.window

    @property
    def received(self) -> int:
        return self._audio_start + len(self._audio) // 2

    def ms(self, position: int) -> int:
        return position * 1000 // self.rate

    def push(self, pcm: bytes) -> None:
        self._audio += pcm

    @property
    def unjudged(self) -> int:
        """Samples that came since the last window."""
        return self.received - self.position

    def next_window_ready(self) -> bool:
        return self.unjudged >= self.window

    def next_window(self) -> tuple[Window, bool] | None:
        """The next whole window, with what brings it to the level at which the model hears best, and whether that is
        worth asking."""
        at = (self.position - self._audio_start) * 2
        if len(self._audio) - at < self.window * 2:
            return None
        samples = to_float(self._audio[at : at + self.window * 2])
        level = rms(samples)
        self._sound = self._gate.open(level)
        return Window(samples, self._gain.of(level)), self._sound

    def judge(self, probability: float) -> Step:
        """Moves over the window that was judged."""
        self._gain.judged(probability, sound=self._sound)
        step = self._endpointer.step(probability)
        self.windows += 1
        if step is Step.STARTED:
            first = self._place(self._endpointer.first)
            start = min(first, max(self._audio_start, self._given, first - self._at(PRE_ROLL_MS)))
            self.count += 1
            self.stable = StablePrefix()
            self.current = Utterance(self.count, start, first, self.position, self._endpointer.speech_windows)
            self.current.next_partial = first + self._at(self.cadence.first_ms)
        utterance = self.current
        if utterance is not None:
            utterance.last = max(utterance.first, self._place(self._endpointer.last + 1))
            utterance.speech_windows = self._endpointer.speech_windows
            if step is Step.RESUMED:
                utterance.guessed = utterance.guessing = None
        elif step is Step.NOTHING:
            self._forget_silence()
        return step

    def flush(self) -> bool:
        """No more windows will complete this utterance; whether there was one in progress."""
        return self._endpointer.stop() and self.current is not None

    def finish_utterance(self) -> Utterance:
        """Takes the utterance out, with its audio."""
        utterance = self.current
        assert utterance is not None
        self.current = None
        utterance.end = self.position
        self._given = min(utterance.last + self._at(POST_ROLL_MS), self.received)
        utterance.final_audio = self.audio(utterance.start, self._given)
        return utterance

    def cut_utterance(self) -> Utterance:
        """Ends an utterance that is too long at its quietest moment in the last seconds; the rest begins the next."""
        utterance = self.current
        assert utterance is not None
        at = self._quietest(utterance.first + (self.position - utterance.first) * 2 // 3, self.position)
        utterance.end = utterance.last = at
        utterance.final_audio = self.audio(utterance.start, at)
        self.count += 1
        self.stable = StablePrefix()
        self._endpointer.go_on_after_cut((at - self._base) // self.window)
        self.current = Utterance(self.count, at, at, self.position, 1)
        self.current.next_partial = self.position + self._at(self.cadence.every_ms)
        return utterance

    def skip(self, samples: int) -> None:
        """A gap; whoever calls has flushed before."""
        self._base = self.received + samples
        self.windows = 0
        self._endpointer = Endpointer()
        self.voice = VoiceState(self.rate)
        self._audio = bytearray()
        self._audio_start = self._base

    def audio(self, start: int, end: int) -> Floats:
        at = max(0, start - self._audio_start) * 2
        return to_float(self._audio[at : (end - self._audio_start) * 2])

    def release(self, position: int) -> None:
        """Audio before ``position``, less the pre-roll, is not needed any more."""
        keep = min(position, self.current.start if self.current else position - self._at(BEGINNING_MS))
        drop = keep - self._audio_start
        if drop > 0:
            del self._audio[: drop * 2]
            self._audio_start = keep

    def _forget_silence(self) -> None:
        if self.position - self._audio_start > self.rate:
            self.release(self.position)

    def _quietest(self, start: int, end: int) -> int:
        samples = self.audio(start, end)
        step = self.window
        levels = [rms(samples[at : at + step]) for at in range(0, max(1, len(samples) - step), step)]
        return start + levels.index(min(levels)) * step

    def _place(self, window: int) -> int:
        return self._base + window * self.window

    def _at(self, ms: int) -> int:
        return ms * self.rate // 1000
