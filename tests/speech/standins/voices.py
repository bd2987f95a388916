"""Voices in the real formats that sing instead of speaking: each phoneme is a tone of its own, some hundredths long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tests.speech.standins.manifests import folder_of, sign

from kallglot.models.installed import InstalledModel

RATE = 22_050
SAMPLES = 256
"""Of one token at normal speed."""
IPA = "_^$ !'(),-.:;?abcdefhijklmnopqrstuvwxyzæçðøŋœɐɑɒɔɕəɛɜɡɪɲɹʁʃʊʌʏʒʔˈˌːθχ\u0303\u0329\u032f\u0327"


def tokens(symbols: str = IPA) -> str:
    return "".join(f"{symbol} {number}\n" for number, symbol in enumerate(symbols))


def piper(speakers: int = 1, voice: str = "de", **metadata: str) -> onnx.ModelProto:
    """In goes ``input`` [1, tokens] and what Piper's models take beside it, out comes [1, 1, samples]."""
    names = ["input", "input_lengths", "scales", *(["sid"] if speakers > 1 else [])]
    shapes: dict[str, tuple[int, list[Any]]] = {
        "input": (TensorProto.INT64, [1, "tokens"]),
        "input_lengths": (TensorProto.INT64, [1]),
        "scales": (TensorProto.FLOAT, [3]),
        "sid": (TensorProto.INT64, [1]),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["scales", "one"], ["length_scale"]),
        node("Mul", ["length_scale", "samples"], ["each_float"]),
        node("Cast", ["each_float"], ["each"], to=TensorProto.INT64),
        *_song("input", "each", "sid" if speakers > 1 else None),
        node("Reshape", ["wave", "output_shape"], ["output"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info(name, *shapes[name]) for name in names],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "samples_out"])],
        {"output_shape": np.array([1, 1, -1], np.int64)},
        {
            "model_type": "vits",
            "comment": "piper",
            "language": "German",
            "voice": voice,
            "has_espeak": "1",
            "n_speakers": str(speakers),
            "sample_rate": str(RATE),
            **metadata,
        },
    )


def _song(ids: str, each: str, speaker: str | None) -> list[onnx.NodeProto]:
    """``wave``: a tone for each of the ids [1, n], ``each`` samples long; a speaker's are above the last one's."""
    node = helper.make_node
    pitch = [node("Mul", ["ids_float", "step"], ["pitch"])]
    if speaker is not None:
        pitch = [
            node("Cast", [speaker], ["speaker_float"], to=TensorProto.FLOAT),
            node("Add", ["speaker_float", "one_float"], ["higher"]),
            node("Mul", ["ids_float", "step"], ["plain"]),
            node("Mul", ["plain", "higher"], ["pitch"]),
        ]
    return [
        node("Reshape", [ids, "flat"], ["row"]),
        node("Size", ["row"], ["count"]),
        node("Mul", ["count", each], ["length"]),
        node("Squeeze", ["length"], ["length_scalar"]),
        node("Range", ["zero", "length_scalar", "one_scalar"], ["time"]),
        node("Div", ["time", each], ["which"]),
        node("Gather", ["row", "which"], ["ids"]),
        node("Cast", ["ids"], ["ids_float"], to=TensorProto.FLOAT),
        *pitch,
        node("Cast", ["time"], ["time_float"], to=TensorProto.FLOAT),
        node("Mul", ["pitch", "time_float"], ["phase"]),
        node("Sin", ["phase"], ["sine"]),
        node("Mul", ["sine", "loudness"], ["wave"]),
    ]


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    known: dict[str, Any] = {
        "one": np.array([1], np.int64),
        "zero": np.array(0, np.int64),
        "one_scalar": np.array(1, np.int64),
        "one_float": np.array([1], np.float32),
        "flat": np.array([-1], np.int64),
        "samples": np.array([SAMPLES], np.float32),
        "step": np.array([2 * np.pi * 20 / RATE], np.float32),
        "loudness": np.array([0.4], np.float32),
        **constants,
    }
    used = {name for one in nodes for name in one.input}
    graph = helper.make_graph(
        nodes,
        "song",
        inputs,
        outputs,
        [numpy_helper.from_array(value, name) for name, value in known.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    return model


def kokoro(speakers: int = 2, longest: int = 510, width: int = 4) -> tuple[onnx.ModelProto, bytes]:
    """A model of Kokoro's inputs, and the file of its speakers' styles; a style says how high the tones are."""
    node = helper.make_node
    nodes = [
        node("Div", ["samples", "speed"], ["each_float"]),
        node("Cast", ["each_float"], ["each"], to=TensorProto.INT64),
        node("ReduceMean", ["style"], ["speaker"], keepdims=0),
        *_song("tokens", "each", "speaker"),
        node("Identity", ["wave"], ["audio"]),
    ]
    model = _model(
        nodes,
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, width]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples_out"])],
        {},
        {
            "model_type": "kokoro",
            "comment": "kokoro",
            "has_espeak": "1",
            "sample_rate": "24000",
            "version": "2",
            "voice": "en-us",
            "n_speakers": str(speakers),
            "style_dim": f"{longest},1,{width}",
        },
    )
    styles = np.repeat(np.arange(speakers, dtype=np.float32), longest * width)
    return model, styles.tobytes()


def build(
    models_dir: Path, name: str, language: str, *, speakers: Sequence[str] = (), **options: Any
) -> InstalledModel:
    """A Piper voice; several ``speakers`` have names."""
    folder = folder_of(models_dir, name)
    onnx.save(piper(len(speakers) or 1, language.split("-")[0]), str(folder / "model.onnx"))
    (folder / "tokens.txt").write_text(tokens(), encoding="utf-8")
    roles = {"model": "model.onnx", "tokens": "tokens.txt"}
    if speakers:
        options["speakers"] = {speaker: number for number, speaker in enumerate(speakers)}
    return sign(folder, "synthesis", "piper", roles, languages=(language,), options={"sample_rate_hz": RATE, **options})


def build_german(models_dir: Path) -> InstalledModel:
    return build(models_dir, "piper-de-standin", "de-DE")


def build_kokoro(models_dir: Path) -> InstalledModel:
    folder = folder_of(models_dir, "kokoro-standin")
    model, styles = kokoro()
    onnx.save(model, str(folder / "model.onnx"))
    (folder / "voices.bin").write_bytes(styles)
    (folder / "tokens.txt").write_text(tokens(IPA + "AIOQWYʤʧ"), encoding="utf-8")
    roles = {"model": "model.onnx", "tokens": "tokens.txt", "voices": "voices.bin"}
    options = {"sample_rate_hz": 24000, "speakers": {"af_one": 0, "bf_two": 1}, "default_speakers": {"en-GB": "bf_two"}}
    return sign(folder, "synthesis", "kokoro", roles, languages=("en-US", "en-GB", "es"), options=options)
