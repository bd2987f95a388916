"""Moonshine in one piece: the real model beside sherpa-onnx, which runs the same files, and files of every kind."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
from benchmarks.speech import Clip, prompts
from benchmarks.words import normalise
from tests.speech.hearing import line
from tests.speech.standins.moonshine import moonshine_offline
from tests.speech.standins.words import WORDS

from kallglot.audio.levels import to_float
from kallglot.speech.engines.decoding import prepared, tokens_of
from kallglot.speech.engines.moonshine_model import model_folder, model_spec
from kallglot.speech.engines.moonshine_offline import MoonshineOffline
from kallglot.speech.engines.recognition_models import ModelSpec, load
from kallglot.speech.engines.schedule import Job, Urgency

pytestmark = [pytest.mark.speech, pytest.mark.xdist_group("moonshine")]


@pytest.fixture(scope="module")
def clips(testdata: Path) -> list[Clip]:
    return [clip for clip in prompts(testdata) if 1.5 < clip.end_s - clip.start_s < 6][:12]


@pytest.fixture(scope="module")
def model() -> MoonshineOffline:
    folder = model_folder()
    assert folder is not None
    return MoonshineOffline(model_spec(folder))


def tokens_text(tokenizer: bytes) -> str:
    """sherpa-onnx's file, out of Moonshine's."""
    pieces = (piece.replace("▁".encode(), b" ") for piece in tokens_of(tokenizer))
    return "".join(f"{base64.b64encode(piece).decode()}\t{number}\n" for number, piece in enumerate(pieces))


def heard(model: MoonshineOffline, clip: Clip, urgency: Urgency) -> str:
    return model.recognise(Job(1, 1, urgency, 0, to_float(line(clip)), 8000)).text


def test_with_one_text_it_hears_what_sherpa_onnx_hears(
    model: MoonshineOffline, clips: list[Clip], tmp_path: Path
) -> None:
    sherpa: Any = pytest.importorskip("sherpa_onnx")
    folder = model_folder()
    assert folder is not None
    files = model_spec(folder).files
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(tokens_text(Path(files["tokenizer"]).read_bytes()))
    theirs = sherpa.OfflineRecognizer.from_moonshine_v2(files["encoder"], files["decoder"], str(tokens))
    same = 0
    for clip in clips:
        stream = theirs.create_stream()
        audio = to_float(line(clip))
        stream.accept_waveform(16000, prepared(audio, 8000))
        theirs.decode_stream(stream)
        same += stream.result.text.strip() == model.hear(audio, 8000, over=False, width=1).text
    # They are the same up to rounding, which may turn a word that is in doubt.
    assert same >= len(clips) - 2


def test_finals_are_as_likely_as_the_likeliest_tokens_or_likelier(model: MoonshineOffline, clips: list[Clip]) -> None:
    for clip in clips:
        audio = to_float(line(clip))
        wide, narrow = model.hear(audio, 8000), model.hear(audio, 8000, width=1)
        assert wide.confidence is not None
        assert narrow.confidence is not None
        assert 0 < narrow.confidence <= wide.confidence + 0.005 <= 1.005


def test_finals_are_right(model: MoonshineOffline, clips: list[Clip]) -> None:
    said = normalise(" ".join(clip.text for clip in clips))
    for urgency in (Urgency.FINAL, Urgency.GUESS):
        assert jiwer.wer(said, normalise(" ".join(heard(model, clip, urgency) for clip in clips))) <= 0.06


def test_the_tokens_in_either_file_are_the_same(model: MoonshineOffline, clips: list[Clip], tmp_path: Path) -> None:
    folder = model_folder()
    assert folder is not None
    spec = model_spec(folder)
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(tokens_text(Path(spec.files["tokenizer"]).read_bytes()))
    files = {role: path for role, path in spec.files.items() if role != "tokenizer"}
    other = load(ModelSpec(spec.family, {**files, "tokens": str(tokens)}, ("en",)))
    assert isinstance(other, MoonshineOffline)
    assert heard(other, clips[0], Urgency.FINAL) == heard(model, clips[0], Urgency.FINAL) != ""


@pytest.mark.parametrize("samples", [0, 1, 200, 1000])
def test_next_to_no_audio_is_next_to_no_text(model: MoonshineOffline, samples: int) -> None:
    for urgency in Urgency:
        told = model.recognise(Job(1, 1, urgency, 0, np.zeros(samples, np.float32), 8000))
        assert len(told.text) < 30


def test_noise_ends(model: MoonshineOffline) -> None:
    """However many words it makes of it: no more than can be said in the time."""
    noise = np.random.default_rng(3).normal(0, 0.2, 8000 * 12).astype(np.float32)
    assert len(model.hear(noise, 8000).text) < 1000


@pytest.mark.parametrize("masked", [True, False])
def test_files_with_and_without_masks(masked: bool, tmp_path: Path, clips: list[Clip]) -> None:
    roles = moonshine_offline(tmp_path, masked=masked)
    made = load(ModelSpec("moonshine-v2", {role: str(tmp_path / path) for role, path in roles.items()}, ("de",)))
    audio = to_float(line(clips[0]))
    text = made.recognise(Job(1, 1, Urgency.FINAL, 0, audio, 8000)).text.split()
    seconds = len(audio) / 8000 + 0.8
    assert text == [WORDS["de"][at % 10] for at in range(len(text))]
    assert abs(len(text) - int(seconds * 16000 / 384 / 16)) <= 1


@pytest.mark.parametrize("wrong", ["tokens", "decoder"])
def test_files_that_do_not_fit_are_refused_at_the_start(wrong: str, tmp_path: Path) -> None:
    roles = moonshine_offline(tmp_path)
    files = {role: str(tmp_path / path) for role, path in roles.items()}
    if wrong == "tokens":
        Path(files["tokens"]).write_text("no such\nfile\n")
    else:
        files["decoder"] = files["encoder"]
    with pytest.raises(Exception, match=r".{8}"):
        load(ModelSpec("moonshine-v2", files, ("de",)))
