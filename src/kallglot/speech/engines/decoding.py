"""What goes into a speech decoder and what is done with what comes out, whatever runs it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

from kallglot.audio.levels import Floats, normalise

MODEL_RATE: Final = 16000
EDGE: Final = 320
"""Samples, 20 ms: what resampling makes of less depends on what follows."""
FAR_OFF: Final = 2.5
"""8 dB."""
TOKENS_PER_SECOND: Final = 6.5
"""Of the fastest speech, in Moonshine's tokens (https://arxiv.org/abs/2410.15608): more than that is a loop."""
_LOOP: Final = re.compile(r"(?<!\S)((\S+)(?:\s+\S+){0,6}?\s+(?!\2(?!\S))\S+)(?:\s+\1(?!\S)){3,}")
_COMMAS: Final = re.compile(r",{2,}")


def prepared(audio: Floats, rate: int) -> Floats:
    """At the level and the rate that models were trained with."""
    return resampled(normalise(audio), rate)


def resampled(audio: Floats, rate: int) -> Floats:
    if rate != MODEL_RATE:
        audio = soxr.resample(audio, rate, MODEL_RATE, quality="HQ")  # pyright: ignore[reportUnknownMemberType]
    return np.ascontiguousarray(audio, np.float32)


class Growing:
    """An utterance as it grows, at the model's rate and level, each sample given once."""

    def __init__(self) -> None:
        self.taken = 0
        self._gain = 0.0

    def fresh(self, audio: Floats, rate: int, *, last: bool, tail_s: float = 0.0) -> Floats:
        """What is new in the utterance so far, and behind the last of it ``tail_s`` seconds of silence."""
        samples = resampled(audio, rate)
        # What is at the very end of a piece still changes in resampling when the next piece comes.
        ready = len(samples) if last else max(self.taken, len(samples) - EDGE)
        new = np.clip(samples[self.taken : ready] * self._level(audio), -1.0, 1.0)
        self.taken = max(self.taken, ready)
        return np.concatenate((new, np.zeros(int(tail_s * MODEL_RATE), np.float32))) if last else new

    def _level(self, audio: Floats) -> np.float32:
        """The utterance keeps its gain unless that turns out to be far off: a step in it sounds like speech."""
        peak = int(np.abs(audio).argmax()) if len(audio) else 0
        if len(audio) and audio[peak]:
            wanted = float(normalise(audio)[peak] / audio[peak])
            if not FAR_OFF > wanted / (self._gain or 1e-9) > 1 / FAR_OFF:
                self._gain = wanted
        return np.float32(self._gain)


def without_loops(text: str) -> str:
    """The decoder gets caught in a loop where speech breaks off: a phrase that it says four times running is said once.

    A word, or a digit, that somebody repeats is no phrase."""
    return _LOOP.sub(r"\1", _COMMAS.sub(",", text))


def tokens_of(tokenizer: bytes) -> list[bytes]:
    """The pieces of ``tokenizer.bin``: 0 is an empty piece, from 128 on a length has a second byte."""
    pieces: list[bytes] = []
    at = 0
    while at < len(tokenizer):
        length = tokenizer[at]
        at += 1
        if length >= 128:
            length = tokenizer[at] * 128 + length - 128
            at += 1
        pieces.append(tokenizer[at : at + length])
        at += length
    return pieces


def text_of(pieces: Sequence[bytes], tokens: Iterable[int]) -> str:
    """Pieces are bytes of text with U+2581 for a space; what stands in angle brackets is a mark."""
    said = [pieces[token] for token in tokens if token < len(pieces)]
    marks = (piece.startswith(b"<") and piece.endswith(b">") and len(piece) > 2 for piece in said)
    text = b"".join(piece for piece, mark in zip(said, marks, strict=True) if not mark)
    return text.decode(errors="replace").replace("▁", " ").strip()


def chances(logits: Floats) -> Floats:
    """Natural logarithms of probabilities, from what a decoder says, row by row."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
