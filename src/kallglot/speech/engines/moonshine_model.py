"""The tiny-en model that the ``moonshine-voice==0.1.0`` wheel carries (MIT), run by sherpa-onnx.

The wheel's Python is never imported. Its tokenizer is a list of length-prefixed pieces; sherpa-onnx wants a text file
of ``base64(piece) TAB id``.
"""

from __future__ import annotations

import base64
import importlib.util
import math
import re
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr  # pyright: ignore[reportMissingTypeStubs]

from kallglot.audio.levels import Floats, normalise

MODEL_RATE: Final = 16000
_LOOP: Final = re.compile(r"(?<!\S)((\S+)(?:\s+\S+){0,6}?\s+(?!\2(?!\S))\S+)(?:\s+\1(?!\S)){3,}")
_COMMAS: Final = re.compile(r",{2,}")
_FILES: Final = ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")


def model_folder(given: Path | None = None) -> Path | None:
    """Where the model's files are, None where they are not."""
    folders = [given] if given is not None else []
    spec = importlib.util.find_spec("moonshine_voice")
    folders += [Path(found) / "assets" / "tiny-en" for found in (spec.submodule_search_locations or [])] if spec else []
    return next((folder for folder in folders if all((folder / name).exists() for name in _FILES)), None)


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


class MoonshineModel:
    """Whole utterances in, text out; about 0.03 of real time on one core."""

    def __init__(self, folder: Path) -> None:
        import sherpa_onnx  # pyright: ignore[reportMissingTypeStubs]

        lines = (
            f"{base64.b64encode(piece.replace('▁'.encode(), b' ')).decode()}\t{number}\n"
            for number, piece in enumerate(tokens_of((folder / _FILES[2]).read_bytes()))
        )
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as tokens:
            tokens.writelines(lines)
            tokens.flush()
            recognizer: Any = sherpa_onnx.OfflineRecognizer
            self._recognizer = recognizer.from_moonshine_v2(
                encoder=str(folder / _FILES[0]), decoder=str(folder / _FILES[1]), tokens=tokens.name, num_threads=1
            )

    def recognise(self, audio: Floats, rate: int) -> tuple[str, float | None]:
        """The text, and a confidence where the decoder gives one. Audio as it came: levels are put right here."""
        samples = normalise(audio)
        if rate != MODEL_RATE:
            samples = soxr.resample(samples, rate, MODEL_RATE, quality="HQ")  # pyright: ignore[reportUnknownMemberType]
        stream = self._recognizer.create_stream()
        stream.accept_waveform(MODEL_RATE, np.ascontiguousarray(samples, np.float32))
        self._recognizer.decode_stream(stream)
        result: Any = stream.result
        probabilities = list(getattr(result, "ys_log_probs", None) or ())
        confidence = math.exp(sum(probabilities) / len(probabilities)) if probabilities else None
        return without_loops(str(result.text).strip()), confidence


def without_loops(text: str) -> str:
    """The decoder gets caught in a loop where speech breaks off: a phrase that it says four times running is said once.

    A word, or a digit, that somebody repeats is no phrase."""
    return _LOOP.sub(r"\1", _COMMAS.sub(",", text))
