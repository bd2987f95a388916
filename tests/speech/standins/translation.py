"""Translation models with random weights, in the real formats: gibberish, but through the real loaders."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from ctranslate2.specs import TransformerSpec
from tests.speech.standins.manifests import folder_of, sign

from kallglot.models.installed import InstalledModel

GERMAN = "der die das ein eine ich du er wir sie bin ist sind war haben hat guten Tag bitte danke wann wo wie kommt"
ENGLISH = "the a an I you he we they am is are was have has good day please thanks when where how comes order number"
POSITIONS = 600


@cache
def vocabulary(size: int = 300) -> bytes:
    """A SentencePiece model of a few hundred made-up sentences."""
    chance = random.Random(5)
    syllables = "ba de gu hin kom lich mor ne rei sen ta ver wo zu ing tion ness Mü Stra ße ang äp löf".split()
    made_up = ["".join(chance.choices(syllables, k=chance.randint(2, 3))) for _ in range(200)]
    words = f"{GERMAN} {ENGLISH}".split() * 3 + made_up
    lines = [" ".join(chance.choices(words, k=chance.randint(3, 12))) + chance.choice(".?!") for _ in range(400)]
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=made,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        minloglevel=2,
    )
    return made.getvalue()


def build(
    folder: Path,
    *,
    seed: int = 4,
    sp: bytes | None = None,
    marks: Sequence[str] = (),
    adds_end: bool = False,
    ends: float = 2.5,
    width: int = 32,
    layers: int = 1,
    pieces: int = 0,
) -> None:
    """A Transformer of ``layers`` and ``width`` into the folder, int8. ``marks`` come into its vocabulary, too;
    the higher ``ends``, the sooner it ends its sentences. ``pieces`` fills the vocabulary up to a size."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=sp or vocabulary())
    words = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
    words += [*marks, *(f"filler{number}" for number in range(pieces - len(words) - len(marks)))]
    chance = np.random.default_rng(seed)
    spec: Any = TransformerSpec.from_config(layers, 4)
    for side in (spec.encoder, spec.decoder):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight = _random(chance, len(words), width)
        side.position_encodings.encodings = _random(chance, POSITIONS, width) * 4
        _normalised(side.layer_norm, width)
        for layer in side.layer:
            _attention(chance, layer.self_attention, width, crossed=False)
            if hasattr(layer, "attention"):
                _attention(chance, layer.attention, width, crossed=True)
            _normalised(layer.ffn.layer_norm, width)
            _linear(chance, layer.ffn.linear_0, 4 * width, width)
            _linear(chance, layer.ffn.linear_1, width, 4 * width)
    projection = spec.decoder.projection
    _linear(chance, projection, len(words), width)
    # Random logits spread alike: so much above their mean, the end is among the best after some words.
    projection.weight *= 1 / 0.15 / width**0.5
    projection.bias[words.index("</s>")] = ends
    projection.bias[words.index("<s>")] = projection.bias[words.index("<unk>")] = -30
    projection.bias[processor.get_piece_size() :] = -30
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.add_source_eos = adds_end
    spec.validate()
    spec.optimize("int8")
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def opus(models_dir: Path, source: str, target: str, *, seed: int = 4) -> InstalledModel:
    folder = folder_of(models_dir, f"opus-mt-{source}-{target}")
    build(folder, seed=seed)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(vocabulary())
    roles = {"model": "model.bin", "source_sp": "source.spm", "target_sp": "target.spm"}
    return sign(folder, "translation", "opus-mt", roles, pairs=((source, target),))


def of_many(models_dir: Path, family: str, marks: Sequence[str], pairs: tuple[tuple[str, str], ...]) -> InstalledModel:
    """A model with one vocabulary for all its languages, and a mark for each."""
    folder = folder_of(models_dir, family)
    build(folder, marks=marks)
    (folder / "sp.model").write_bytes(vocabulary())
    roles = {"model": "model.bin", "source_sp": "sp.model", "target_sp": "sp.model"}
    return sign(folder, "translation", family, roles, pairs=pairs)


def build_german_english(models_dir: Path) -> list[InstalledModel]:
    """Both directions, installed."""
    return [opus(models_dir, "de", "en", seed=4), opus(models_dir, "en", "de", seed=2)]


def _random(chance: np.random.Generator, *shape: int) -> Any:
    return (chance.standard_normal(shape) * 0.15).astype("float32")


def _normalised(norm: Any, width: int) -> None:
    norm.gamma = np.ones(width, "float32")
    norm.beta = np.zeros(width, "float32")


def _linear(chance: np.random.Generator, layer: Any, rows: int, columns: int) -> None:
    layer.weight = _random(chance, rows, columns)
    layer.bias = np.zeros(rows, "float32")


def _attention(chance: np.random.Generator, attention: Any, width: int, *, crossed: bool) -> None:
    _normalised(attention.layer_norm, width)
    shares = (1, 2, 1) if crossed else (3, 1)
    for layer, share in zip(attention.linear, shares, strict=True):
        _linear(chance, layer, share * width, width)
        if crossed:
            # What was said is to matter more than what has been answered so far.
            layer.weight *= 3
