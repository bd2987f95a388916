"""What the recogniser's model makes of whole recordings, beside what a call's frames and pauses leave of that.

``python -m benchmarks.reference_wer`` gives each recording to the model in one piece, clean and through
``sox -G in -r 8000 -c1 -e mu-law t.wav sinc 300-3400 norm -3``, and prints the word errors. sox adds noise of less than
a step (dither), another in each run, which changes words: over the telephone each recording is heard ``--times`` times.
The same recordings through the live path are ``kallglot eval FOLDER --timed 0``; ``--export FOLDER`` writes them there
the way that it reads them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, cast

import numpy as np
import soundfile  # pyright: ignore[reportMissingTypeStubs]

from kallglot.audio.levels import Floats
from kallglot.evaluation.corpus import Recording, find
from kallglot.evaluation.scores import WordErrors, word_errors
from kallglot.speech.engines.moonshine_model import MoonshineModel, model_folder

_SPHINX: Final = re.compile(r"<s>\s*(.*?)\s*</s>\s*\((\S+)\)")


def exported(speech: Path, folder: Path) -> None:
    """English recordings of the test data, in a folder for each collection, LibriVox' list as a text for each."""
    shutil.copytree(speech / "fleurs" / "en", folder / "fleurs" / "en")
    shutil.copytree(speech / "asterisk" / "en", folder / "prompts" / "en")
    read = folder / "librivox-jfk" / "en"
    shutil.copytree(speech / "jfk-en", read)
    source = speech / "librivox-en"
    for text, name in _SPHINX.findall((source / "transcription").read_text()):
        shutil.copy(source / f"{name}.wav", read)
        (read / f"{name}.txt").write_text(text + "\n")


def heard_whole(model: MoonshineModel, recording: Recording, line: str) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        wave = Path(scratch) / "in.wav"
        audio, rate = _read(recording.path)
        soundfile.write(str(wave), audio, rate, subtype="FLOAT")  # pyright: ignore[reportUnknownMemberType]
        if line == "telephone":
            told = Path(scratch) / "t.wav"
            effects = ["sinc", "300-3400", "norm", "-3"]
            options = ["-r", "8000", "-c1", "-e", "mu-law", str(told)]
            subprocess.run(["sox", "-G", str(wave), *options, *effects], check=True, capture_output=True)
            audio, rate = _read(told)
        return model.recognise(audio, rate)[0]


def _errors(model: MoonshineModel, recordings: Iterable[Recording], line: str) -> WordErrors:
    errors = WordErrors(0, 0)
    for one in recordings:
        errors += word_errors(one.text, heard_whole(model, one, line), "en")
    return errors


def _read(path: Path) -> tuple[Floats, int]:
    audio, rate = cast(
        "tuple[Floats, int]",
        soundfile.read(str(path), dtype="float32", always_2d=True),  # pyright: ignore[reportUnknownMemberType]
    )
    return np.ascontiguousarray(audio.mean(axis=1), np.float32), rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often over the telephone (5)")
    parser.add_argument("--export", type=Path, help="only write the recordings to this folder, which must not exist")
    chosen = parser.parse_args()
    testdata = Path(os.environ.get("KALLGLOT_TESTDATA", Path(__file__).parents[2] / "shared" / "testdata"))
    if not testdata.is_dir():
        print(f"no recordings at {testdata}; set KALLGLOT_TESTDATA", file=sys.stderr)
        return 2
    if chosen.export:
        chosen.export.mkdir(parents=True)
        exported(testdata / "speech", chosen.export)
        return 0
    installed = model_folder()
    if installed is None or shutil.which("sox") is None:
        print("it needs moonshine-voice==0.1.0 and sox", file=sys.stderr)
        return 2
    model = MoonshineModel(installed)
    with tempfile.TemporaryDirectory() as scratch:
        exported(testdata / "speech", Path(scratch))
        for folder in sorted(Path(scratch).iterdir()):
            for line, times in (("clean", 1), ("telephone", chosen.times)):
                hearings = [_errors(model, find(folder).recordings, line) for _ in range(times)]
                wrong = sorted(errors.wrong for errors in hearings)
                words = hearings[0].words
                rate = sum(wrong) / (words * times)
                print(f"{folder.name:14} {line:9} {wrong} of {words} words, {rate:.1%}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
