"""What an engine is: four protocols and the values that pass through them.

Audio is signed 16-bit little-endian mono PCM throughout. Times are whole milliseconds on the timeline of one recogniser
stream: 0 is its first sample, and both audio and skipped gaps move it forward.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

EngineKind = Literal["recognition", "translation", "synthesis", "detection"]


@dataclass(frozen=True, slots=True)
class Processes:
    """Of an engine that works in child processes: ``wanted`` of them, ``running`` and ready for work; ``waiting_ms`` is
    the audio that its ``streams`` have not had answered yet."""

    wanted: int
    running: int
    restarts: int
    streams: int
    waiting_ms: int


class EngineError(Exception):
    """An engine failed at one piece of work; the call goes on. Where it is not ``passing``, trying the same again is
    useless, as with a wrong key. ``retry_after_s`` is what the engine asked for."""

    def __init__(self, message: str = "", *, passing: bool = True, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.passing = passing
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    at_ms: int


@dataclass(frozen=True, slots=True)
class Partial:
    """The utterance so far. ``text`` may still change; ``stable_text`` is its prefix that no longer will.

    ``hypothesis`` is what the engine would say by now if it did not stand by what it has shown.
    """

    text: str
    stable_text: str
    start_ms: int
    hypothesis: str | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """A finished utterance, from the first to the last moment of speech in it.

    ``language`` is set where the engine itself heard which language it was, ``translation`` where it was asked to
    translate in the same stream and did.
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None
    language: str | None = None
    translation: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The engine has given the stream up: nothing more comes of it, and nobody has dealt with what was said after the
    last :class:`Final`."""

    reason: str
    """In words, without secrets."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The engine behind the stream died and was replaced; its unfinished audio is being recognised again."""

    lost_ms: int
    """How much audio could not be kept for it: 0 unless the engine stayed away longer than the stream's buffer."""


RecognizerEvent = SpeechStarted | SpeechStopped | Partial | Final | Restarted | Failed


@dataclass(frozen=True, slots=True)
class RecognizerOptions:
    sample_rate_hz: int
    """8000 or 16000; the live path brings other rates to 16000 first."""
    language: str | None = None
    partials: bool = True
    terms: Sequence[str] = field(default_factory=tuple)
    translate_to: str | None = None
    """Wanted as ``Final.translation`` by an engine that can; the others leave it."""


class RecognizerStream(Protocol):
    """One speaker's audio on its way through a recogniser. No method blocks."""

    def push(self, pcm: bytes | memoryview) -> None:
        """Adds audio. Bounded: what does not fit any more is dropped oldest first and counted in ``dropped_ms``."""
        ...

    def skip(self, ms: int) -> None:
        """A gap in the media: time passes, nothing was said. An utterance in progress ends there."""
        ...

    def finish(self) -> None:
        """The speaker will say no more for now: ends the utterance in progress without waiting for silence."""
        ...

    async def drain(self) -> None:
        """Returns when everything pushed so far was recognised and its events were delivered."""
        ...

    async def close(self) -> None:
        """Frees the stream; events that were still to come do not come."""
        ...

    @property
    def backlog_ms(self) -> int:
        """Audio pushed and not yet finally dealt with by the engine."""
        ...

    @property
    def dropped_ms(self) -> int: ...


class Recognizer(Protocol):
    name: str

    @property
    def languages(self) -> Collection[str]:
        """What it can be opened for; with a single one, opening it for none is opening it for that."""
        ...

    async def open(self, options: RecognizerOptions, on_event: Callable[[RecognizerEvent], None]) -> RecognizerStream:
        """Opens a stream; ``on_event`` is called on the event loop, in order. Raises :class:`EngineError`."""
        ...


@dataclass(frozen=True, slots=True)
class Hints:
    """What a translator may make use of. Engines ignore what they cannot follow."""

    context: tuple[tuple[str, str], ...] = ()
    """The speaker's last utterances, oldest first, each with its translation."""
    glossary: tuple[tuple[str, str], ...] = ()
    formality: str | None = None


class Translator(Protocol):
    name: str

    async def warm(self, source: str, target: str) -> None:
        """Makes ready what the first translation would else wait for; nothing when it is."""
        ...

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        """Translates one utterance, or one clause of it. Languages are BCP 47. Raises :class:`EngineError`."""
        ...


@dataclass(frozen=True, slots=True)
class Voice:
    """``name`` is the engine's own; ``speed`` 1.0 is the engine's normal rate, 0.5 to 2.0."""

    name: str | None = None
    speed: float = 1.0


class Synthesizer(Protocol):
    name: str
    sample_rate_hz: int

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        """Speaks one text: PCM at ``sample_rate_hz``, in pieces as they come. Raises :class:`EngineError`."""
        ...


@dataclass(frozen=True, slots=True)
class Detection:
    language: str
    confidence: float


class LanguageDetector(Protocol):
    name: str

    def detect(self, text: str, among: Sequence[str] | None = None) -> Detection | None:
        """The language a text is in, out of ``among`` where given; None where it cannot be told."""
        ...


class SpokenDetector(Protocol):
    """Tells languages apart by their sound."""

    name: str

    def open(
        self, sample_rate_hz: int, among: Sequence[str], on_event: Callable[[RecognizerEvent], None]
    ) -> RecognizerStream:
        """A stream that tells which of ``among`` is spoken: ``hypothesis`` of a partial, ``language`` of a final.
        Raises :class:`EngineError`."""
        ...
