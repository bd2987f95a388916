"""Listening for phrases with the acoustic model that pocketsphinx brings along: English phones, any language's words.

Only a child process imports this. pocketsphinx makes the scores of the phones, frame by frame; what it would make of
them with a grammar of its own loses the right phrase where the sounds are not quite English, so that the alignment is
ours. The scores are had by its option ``senlogdir``, https://pocketsphinx.readthedocs.io/en/latest/config_params.html.
"""

from __future__ import annotations

import importlib
import struct
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from kallglot.audio.levels import Floats
from kallglot.speech.engines.alignment import STATES, Grammar, compiled, judged
from kallglot.speech.engines.decoding import prepared
from kallglot.speech.engines.evidence import ENOUGH, confidence, evidence
from kallglot.speech.engines.phones import Saying
from kallglot.speech.engines.recognition_models import Cadence, Heard
from kallglot.speech.engines.schedule import Job

NONE_OF_THESE: Final = "none of these"
PHRASE: Final = "phrase "
_GRAMMARS: Final = 32
_LOG_END: Final = b"endhdr\n"
_BYTE_ORDER: Final = 4


class PhraseModel:
    cadence = Cadence()
    streaming = False

    def __init__(self) -> None:
        pocketsphinx: Any = importlib.import_module("pocketsphinx")
        self._folder = tempfile.TemporaryDirectory(prefix="kallglot-phrases-")
        model = Path(pocketsphinx.get_model_path()) / "en-us" / "en-us"
        # Beams so wide that every phone has a score in every frame.
        self._decoder: Any = pocketsphinx.Decoder(
            hmm=str(model),
            lm=None,
            dict=None,
            loglevel="FATAL",
            senlogdir=self._folder.name,
            allphone_ci=True,
            beam=1e-300,
            pbeam=1e-300,
            wbeam=1e-300,
        )
        self._decoder.add_allphone_file("loop", None)
        self._decoder.activate_search("loop")
        self.phones = {phone: number for number, phone in enumerate(phone_names((model / "mdef").read_bytes()))}
        self._grammars: OrderedDict[tuple[str, ...], Grammar] = OrderedDict()

    def recognise(self, job: Job) -> Heard:
        """``job.among`` are the sayings, as :func:`written` has them."""
        if not job.among:
            return Heard(NONE_OF_THESE)
        samples = prepared(job.audio, job.rate)
        scores = self.scores((np.clip(samples, -1.0, 1.0) * 32767).astype("<i2").tobytes())
        if len(scores) < STATES:
            return Heard(NONE_OF_THESE)
        verdict = judged(scores, self._grammar(job.among))
        found = evidence(verdict, native=read(job.among[verdict.saying]).native)
        if found < ENOUGH:
            return Heard(NONE_OF_THESE)
        return Heard(f"{PHRASE}{verdict.choice}", confidence(found))

    def forget(self, stream: int) -> None:
        """Nothing is kept of a stream."""

    def scores(self, pcm: bytes) -> Floats:
        """Of 16 kHz audio: (frames of 10 ms, states of the phones), 0 the best of a frame and the others below."""
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()
        logs = sorted(Path(self._folder.name).iterdir())
        try:
            return read_scores(logs[-1].read_bytes(), len(self.phones) * STATES) if logs else _nothing(0)
        finally:
            for log in logs:
                log.unlink()

    def _grammar(self, among: tuple[str, ...]) -> Grammar:
        grammar = self._grammars.pop(among, None) or compiled(
            [(line.choice, line.said) for line in map(read, among)], self.phones
        )
        self._grammars[among] = grammar
        if len(self._grammars) > _GRAMMARS:
            self._grammars.popitem(last=False)
        return grammar


class Line(NamedTuple):
    """A saying on its way to the child."""

    choice: int
    """The number of what it says."""
    native: bool
    """In the language of the acoustic model."""
    said: Saying


def written(line: Line) -> str:
    """``3 + HH AH L OW/W ER L D``: what a saying says, whether in the model's own language, and its phones."""
    return f"{line.choice} {'+' if line.native else '-'} " + "/".join(" ".join(word) for word in line.said)


def read(line: str) -> Line:
    choice, native, said = line.split(" ", 2)
    return Line(int(choice), native == "+", tuple(tuple(word.split()) for word in said.split("/")))


def read_scores(log: bytes, states: int) -> Floats:
    """The senone scores of a log file of pocketsphinx: for each frame the number of active ones, how far each is from
    the one before, and the scores. A frame in which not all are active says nothing, and counts as 0 throughout."""
    at = log.index(_LOG_END) + len(_LOG_END) + _BYTE_ORDER
    frames: list[Floats] = []
    while at + 2 <= len(log):
        (active,) = struct.unpack_from("<h", log, at)
        at += 2 + active
        if at + 2 * active > len(log):
            break
        row = np.frombuffer(log, "<i2", active, at).astype(np.float32)
        at += 2 * active
        frames.append(row.min() - row if active == states else _nothing(states))
    return np.stack(frames) if frames else _nothing(0)


def _nothing(states: int) -> Floats:
    return np.zeros(states, np.float32) if states else np.zeros((0, 0), np.float32)


def phone_names(mdef: bytes) -> list[str]:
    """The phones of a binary model definition, in the order of their states. Raises ``ValueError`` for another shape.

    Behind a description of the format there are ten numbers, of which the first is how many phones there are, the third
    the states of each, the fourth those of all; then the names, each ended by a zero.
    """
    if mdef[:4] != b"BMDF":
        raise ValueError("the acoustic model's definition is not in the binary format")
    _, description = struct.unpack_from("<ii", mdef, 4)
    at = 12 + description
    phones, _, each, senones = struct.unpack_from("<4i", mdef, at)
    if each != STATES or senones != phones * STATES:
        raise ValueError(f"expected {STATES} states for each phone, the acoustic model has {each}, {senones} in all")
    return [name.decode("ascii") for name in mdef[at + 40 :].split(b"\0", phones)[:phones]]
