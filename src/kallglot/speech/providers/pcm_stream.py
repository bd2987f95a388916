"""What Deepgram's and Soniox's sockets have in common: audio goes up as it is, everything else as a few fixed messages,
and an utterance is put together of settled pieces, whose languages may differ. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from kallglot.speech.remote.codec import CodecDefaults, Message, Opening


class PcmStreamCodec(CodecDefaults):
    """A vendor names its messages, and gives ``read``."""

    finalize: ClassVar[Message]
    keep_alive: ClassVar[Message]
    goodbye: ClassVar[Message]

    def __init__(
        self, opening: Opening, sample_rate_hz: int, *, name: str, partials: bool = True, tells_language: bool = False
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._name = name
        self._opening = opening
        self._partials = partials
        self._tells_language = tells_language

    def open(self) -> Opening:
        return self._opening

    def audio(self, pcm: bytes) -> Sequence[Message]:
        return (pcm,)

    def finish(self) -> Sequence[Message]:
        return (self.finalize,)

    def keepalive(self) -> Sequence[Message]:
        return (self.keep_alive,)

    def close(self) -> Sequence[Message]:
        return (self.goodbye,)


def most_spoken(pieces: Iterable[tuple[str | None, int]]) -> str | None:
    """The language that most is in, of pieces with their weights; None where none has a language."""
    spoken: Counter[str] = Counter()
    for language, weight in pieces:
        if language:
            spoken[language] += weight
    return spoken.most_common(1)[0][0] if spoken else None


def bounded(terms: Iterable[str], most: int, most_weight: int, weight: Callable[[str], int]) -> list[str]:
    """The first of the terms, each once, as many as a vendor takes."""
    taken: list[str] = []
    for term in dict.fromkeys(term.strip() for term in terms if term.strip()):
        most_weight -= weight(term)
        if most_weight < 0 or len(taken) == most:
            break
        taken.append(term)
    return taken
