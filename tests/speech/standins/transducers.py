"""Transducers that say a word where speech gets louder: a streaming Zipformer, and a NeMo TDT like Parakeet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.speech.standins.graphs import FLOAT, INT32, INT64, Graph
from tests.speech.standins.words import WORDS, chain, one_hot


def zipformer(folder: Path, language: str = "de") -> dict[str, str]:
    """A streaming zipformer2 transducer that says a word where speech gets louder."""
    words = WORDS[language]
    size, dim, left, kernel = len(words) + 1, 16, 4, 5
    graph = Graph("encoder")
    x = graph.input("x", FLOAT, ["N", 45, 80])
    states = [
        graph.input("cached_key_0", FLOAT, [left, "N", 8]),
        graph.input("cached_nonlin_attn_0", FLOAT, [1, "N", left, 3 * dim // 4]),
        graph.input("cached_val1_0", FLOAT, [left, "N", 4]),
        graph.input("cached_val2_0", FLOAT, [left, "N", 4]),
        graph.input("cached_conv1_0", FLOAT, ["N", dim, kernel // 2]),
        graph.input("cached_conv2_0", FLOAT, ["N", dim, kernel // 2]),
        graph.input("embed_states", FLOAT, ["N", 128, 3, 19]),
        graph.input("processed_lens", INT64, ["N"]),
    ]
    kinds = [FLOAT] * 7 + [INT64]
    graph.output("encoder_out", onsets(graph, x, 32, 8, size), FLOAT, ["N", 8, size])
    shapes = [[left, "N", 8], [1, "N", left, 12], [left, "N", 4], [left, "N", 4]]
    shapes += [["N", dim, 2], ["N", dim, 2], ["N", 128, 3, 19], ["N"]]
    for state, kind, shape in zip(states, kinds, shapes, strict=True):
        value = graph.add("Add", state, graph.ints(32)) if kind == INT64 else state
        graph.output(f"new_{state}", value, kind, shape)
    graph.save(
        folder / "encoder.onnx",
        {
            "model_type": "zipformer2",
            "version": "1",
            "encoder_dims": dim,
            "query_head_dims": 4,
            "value_head_dims": 2,
            "num_heads": 2,
            "num_encoder_layers": 1,
            "cnn_module_kernels": kernel,
            "left_context_len": left,
            "T": 45,
            "decode_chunk_len": 32,
        },
    )
    graph = Graph("decoder")
    y = graph.input("y", INT64, ["N", 2])
    last = graph.add("Gather", y, graph.const(1, np.int64), axis=1)
    graph.output("decoder_out", one_hot(graph, last, size), FLOAT, ["N", size])
    graph.save(folder / "decoder.onnx", {"vocab_size": size, "context_size": 2})
    graph = Graph("joiner")
    heard = graph.input("encoder_out", FLOAT, ["N", size])
    said = graph.input("decoder_out", FLOAT, ["N", size])
    follows = chain(size, [range(1, size)], {0: 1})
    graph.output("logit", graph.add("Add", heard, graph.add("MatMul", said, graph.const(follows))), FLOAT, ["N", size])
    graph.save(folder / "joiner.onnx", {"joiner_dim": size})
    lines = ["<blk> 0", *(f"▁{word} {number}" for number, word in enumerate(words, 1))]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")
    return {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx", "tokens": "tokens.txt"}


def parakeet(folder: Path, language: str = "de") -> dict[str, str]:
    """A NeMo TDT transducer, which is told no language."""
    words = WORDS[language]
    vocabulary, mels, durations = len(words), 80, 5
    size = vocabulary + 1
    graph = Graph("encoder")
    signal = graph.input("audio_signal", FLOAT, ["B", mels, "T"])
    graph.input("length", INT64, ["B"])
    level = graph.add("ReduceMean", signal, axes=[1], keepdims=1)
    # (B, 1, T) → every eighth frame, against the one four before it.
    late = graph.add("AveragePool", level, kernel_shape=[8], strides=[8])
    early = graph.add("MaxPool", level, kernel_shape=[1], strides=[8])
    early = graph.add("Slice", early, graph.ints(0), graph.length(late, 2), graph.ints(2))
    rise = graph.add("Transpose", graph.add("Sub", late, early), perm=[0, 2, 1])
    blanks = blank_beside(graph, rise, size, vocabulary, threshold=0.1)
    graph.output("outputs", graph.add("Transpose", blanks, perm=[0, 2, 1]), FLOAT, ["B", size, "S"])
    graph.output("encoded_lengths", graph.length(late, 2), INT64, ["B"])
    graph.save(
        folder / "encoder.onnx",
        {
            "model_type": "EncDecRNNTBPEModel",
            "vocab_size": vocabulary,
            "normalize_type": "per_feature",
            "subsampling_factor": 8,
            "pred_rnn_layers": 1,
            "pred_hidden": 4,
            "feat_dim": mels,
            "version": "2",
            "url": "parakeet-tdt-standin",
        },
    )
    graph = Graph("decoder")
    targets = graph.input("targets", INT32, ["B", "U"])
    length = graph.input("target_length", INT32, ["B"])
    states = [graph.input(name, FLOAT, [1, "B", 4]) for name in ("states.1", "onnx::Slice_3")]
    said = graph.add("Transpose", one_hot(graph, targets, size), perm=[0, 2, 1])
    graph.output("outputs", said, FLOAT, ["B", size, "U"])
    graph.output("prednet_lengths", length, INT32, ["B"])
    for state, name in zip(states, ("states", "162"), strict=True):
        graph.output(name, state, FLOAT, [1, "B", 4])
    graph.save(folder / "decoder.onnx")
    graph = Graph("joiner")
    heard = graph.input("encoder_outputs", FLOAT, ["B", size, "T"])
    said = graph.input("decoder_outputs", FLOAT, ["B", size, "U"])
    follows = chain(size, [range(vocabulary)], {vocabulary: 0})
    next_word = graph.add("MatMul", graph.const(follows.T), said)
    tokens = graph.add("Transpose", graph.add("Add", heard, next_word), perm=[0, 2, 1])
    step = graph.add("Expand", graph.const([[[0, 5, 0, 0, 0]]]), graph.ints(1, 1, durations))
    both = graph.add("Concat", tokens, step, axis=2)
    graph.output("outputs", graph.add("Unsqueeze", both, graph.ints(1)), FLOAT, ["B", 1, 1, size + durations])
    graph.save(folder / "joiner.onnx")
    lines = [*(f"▁{word} {number}" for number, word in enumerate(words)), f"<blk> {vocabulary}"]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")
    return {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx", "tokens": "tokens.txt"}


def onsets(graph: Graph, features: str, frames: int, groups: int, size: int, *, blank: int = 0) -> str:
    """(N, T, mels) to (N, groups, size): the blank's value, above every word's unless it gets louder within a group."""
    chunk = graph.add("Slice", features, graph.ints(0), graph.ints(frames), graph.ints(1))
    level = graph.add("ReduceMean", chunk, axes=[2], keepdims=0)
    per_group = frames // groups
    grouped = graph.add("Reshape", level, graph.ints(0, groups, per_group))
    slope = np.linspace(-1, 1, per_group)[:, None]
    rise = graph.add("MatMul", grouped, graph.const(slope))
    return blank_beside(graph, rise, size, blank, threshold=0.4)


def blank_beside(graph: Graph, rise: str, size: int, blank: int, threshold: float) -> str:
    """(N, T, 1) to (N, T, size): 20 for the blank where ``rise`` is under the threshold, else 0; 0 for the words."""
    low = graph.add("Cast", graph.add("Less", rise, graph.const(threshold)), to=FLOAT)
    place = np.zeros((1, size), np.float32)
    place[0, blank] = 20.0
    return graph.add("Add", graph.add("MatMul", low, graph.const(place)), graph.const(place / -4))
