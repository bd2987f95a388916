"""Moonshines of two kinds: one that streams, three words a second, from frames that it cuts and keeps as it does,
and one that hears an utterance in one piece, two and a half words a second.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
from tests.speech.standins.graphs import BOOL, FLOAT, INT64, Graph
from tests.speech.standins.words import WORDS, chain, one_hot

FRAME, LEFT_OVER = 80, 79
FRAMES_A_WORD = 16
LOOKAHEAD = 4


def moonshine_streaming(folder: Path, language: str = "de", *, split: bool = True) -> dict[str, str]:
    """``split``: the frontend's weights in a graph of their own, as in the files of late 2026."""
    pieces = ["<unk>", "<s>", "</s>", *(f"▁{word}" for word in WORDS[language])]
    size = len(pieces)
    graph = Graph("frontend")
    chunk = graph.input("audio_chunk", FLOAT, [1, "n"])
    kept = graph.input("sample_buffer", FLOAT, [1, LEFT_OVER])
    length = graph.input("sample_len", INT64, [1])
    convolved = [graph.input(f"conv{n}_buffer", FLOAT, [1, size, 4]) for n in (1, 2)]
    before = graph.input("frame_count", INT64, [1])
    ones = np.ones((1, size))
    weight = graph.input("mix_add_tensor", FLOAT, [1, size]) if split else graph.const(ones)
    used = graph.add("Slice", kept, graph.ints(0), length, graph.ints(1))
    samples = graph.add("Concat", used, chunk, axis=1)
    total = graph.length(samples, 1)
    frames = graph.add("Div", total, graph.ints(FRAME))
    whole = graph.add("Mul", frames, graph.ints(FRAME))
    rest = graph.add("Slice", samples, whole, total, graph.ints(1))
    padded = graph.add("Concat", rest, graph.const(np.zeros((1, LEFT_OVER))), axis=1)
    cut = graph.add("Slice", samples, graph.ints(0), whole, graph.ints(1))
    framed = graph.add("Reshape", cut, graph.add("Concat", frames, graph.ints(FRAME), axis=0))
    loud = graph.add("ReduceMean", graph.add("Abs", framed), axes=[1], keepdims=1)
    steps = graph.add("Range", *(graph.add("Squeeze", one) for one in (graph.ints(0), frames, graph.ints(1))))
    fourth = graph.add("Equal", graph.add("Mod", graph.add("Add", steps, before), graph.ints(4)), graph.ints(3))
    features = graph.add("Compress", graph.add("MatMul", loud, weight), fourth, axis=0)
    graph.output("features", graph.add("Unsqueeze", features, graph.ints(0)), FLOAT, [1, "t", size])
    buffer = graph.add("Slice", padded, graph.ints(0), graph.ints(LEFT_OVER), graph.ints(1))
    graph.output("sample_buffer_out", buffer, FLOAT, [1, LEFT_OVER])
    graph.output("sample_len_out", graph.add("Sub", total, whole), INT64, [1])
    for n, one in enumerate(convolved, 1):
        graph.output(f"conv{n}_buffer_out", one, FLOAT, [1, size, 4])
    graph.output("frame_count_out", graph.add("Add", before, frames), INT64, [1])
    roles = {"frontend": "frontend.ort"}
    if split:
        roles = {"frontend": "frontend.model.ort", "frontend_weights": "frontend.weights.ort"}
        weights = Graph("weights")
        mix = weights.add("Cast", weights.const(ones, np.int8), to=FLOAT)
        weights.output("mix_add_tensor", mix, FLOAT, [1, size])
        weights.save(folder / roles["frontend_weights"])
    graph.save(folder / roles["frontend"])

    graph = Graph("encoder")
    graph.output("encoded", graph.input("features", FLOAT, [1, "t", size]), FLOAT, [1, "t", size])
    graph.save(folder / "encoder.ort")

    graph = Graph("adapter")
    encoded = graph.input("encoded", FLOAT, [1, "t", size])
    place = graph.add("Cast", graph.input("pos_offset", INT64, [1]), to=FLOAT)
    graph.output("memory", graph.add("Add", encoded, graph.add("Mul", place, graph.const(0))), FLOAT, [1, "t", size])
    graph.save(folder / "adapter.ort")

    graph = Graph("cross_kv")
    memory = graph.add("Unsqueeze", graph.input("memory", FLOAT, [1, "t", size]), graph.ints(0, 1))
    for name in ("k_cross", "v_cross"):
        graph.output(name, memory, FLOAT, [1, 1, 1, "t", size])
    graph.save(folder / "cross_kv.ort")

    graph = Graph("decoder_kv")
    token = graph.input("token", INT64, [1, "n"])
    selves = [graph.input(name, FLOAT, [1, 1, 1, "l", size]) for name in ("k_self", "v_self")]
    crosses = [graph.input(name, FLOAT, [1, 1, 1, "t", size]) for name in ("out_k_cross", "out_v_cross")]
    now = one_hot(graph, token, size)
    deep = graph.add("Unsqueeze", now, graph.ints(0, 1))
    grown = [graph.add("Concat", one, deep, axis=3) for one in selves]
    # Both are attended to, so that neither is thought superfluous.
    heard = graph.add("ReduceMax", graph.add("Add", *crosses), axes=[0, 1, 2, 3, 4], keepdims=0)
    said = graph.add("MatMul", now, graph.const(chain(size, [range(3, size)], {1: 3})))
    words = graph.add("Div", graph.length(crosses[0], 3), graph.ints(FRAMES_A_WORD))
    done = graph.add("Cast", graph.add("Greater", graph.length(grown[0], 3), words), to=FLOAT)
    end = np.zeros(size, np.float32)
    end[2] = 100.0
    logits = graph.add("Add", said, graph.add("Mul", done, graph.const(end)))
    logits = graph.add("Add", logits, graph.add("Mul", heard, graph.const(1e-6)))
    graph.output("logits", logits, FLOAT, [1, "n", size])
    graph.output("out_k_self", grown[0], FLOAT, [1, 1, 1, "l2", size])
    graph.output("out_v_self", grown[1], FLOAT, [1, 1, 1, "l2", size])
    graph.save(folder / "decoder_kv.ort")
    config = {
        "encoder_dim": size,
        "decoder_dim": size,
        "depth": 1,
        "nheads": 1,
        "head_dim": size,
        "vocab_size": size,
        "bos_id": 1,
        "eos_id": 2,
        "frame_len": FRAME,
        "total_lookahead": LOOKAHEAD,
        "d_model_frontend": size,
        "c1": size,
        "c2": size,
    }
    (folder / "streaming_config.json").write_text(json.dumps(config))
    encoded_pieces = [piece.encode() for piece in pieces]
    (folder / "tokenizer.bin").write_bytes(b"".join(bytes([len(piece)]) + piece for piece in encoded_pieces))
    roles |= {name: f"{name}.ort" for name in ("encoder", "adapter", "cross_kv", "decoder_kv")}
    return roles | {"config": "streaming_config.json", "tokenizer": "tokenizer.bin"}


def moonshine_offline(folder: Path, language: str = "de", *, masked: bool = True) -> dict[str, str]:
    """Its decoder attends to what its first run made of the frames, and in others only to that. There are files with
    and without the masks of what is audio."""
    pieces = ["<unk>", "<s>", "</s>", *(f"▁{word}" for word in WORDS[language])]
    size = len(pieces)
    graph = Graph("encoder")
    samples = graph.input("input_values", FLOAT, ["B", "n"])
    if masked:
        mask = graph.add("Cast", graph.input("attention_mask", INT64, ["B", "n"]), to=FLOAT)
        samples = graph.add("Mul", samples, mask)
    loud = graph.add("Unsqueeze", graph.add("Abs", samples), graph.ints(1))
    pooled = graph.add("AveragePool", loud, kernel_shape=[384], strides=[384])
    frames = graph.add("MatMul", graph.add("Transpose", pooled, perm=[0, 2, 1]), graph.const(np.ones((1, size))))
    graph.output("last_hidden_state", frames, FLOAT, ["B", "S", size])
    graph.save(folder / "encoder_model.ort")

    graph = Graph("decoder")
    token = graph.input("input_ids", INT64, ["B", "n"])
    heard = graph.add("Unsqueeze", graph.input("encoder_hidden_states", FLOAT, ["E", "S", size]), graph.ints(1))
    again = graph.add("Cast", graph.input("use_cache_branch", BOOL, [1]), to=INT64)
    taken = graph.add("Mul", graph.length(heard, 2), graph.add("Sub", graph.ints(1), again))
    fresh = graph.add("Slice", heard, graph.ints(0), taken, graph.ints(2))
    now = one_hot(graph, token, size)
    deep = graph.add("Unsqueeze", now, graph.ints(1))
    grown: dict[str, str] = {}
    for name, new, rows in (("decoder", deep, "B"), ("encoder", fresh, "E")):
        for kind in ("key", "value"):
            past = graph.input(f"past_key_values.0.{name}.{kind}", FLOAT, [rows, 1, "l", size])
            grown[f"{name}.{kind}"] = graph.add("Concat", past, new, axis=2)
    said = graph.add("MatMul", now, graph.const(chain(size, [range(3, size)], {1: 3})))
    loudest = graph.add("Add", grown["encoder.key"], grown["encoder.value"])
    if masked:
        raw = graph.add("Cast", graph.input("encoder_attention_mask", INT64, ["E", "n2"]), to=FLOAT)
        step = graph.add("Slice", raw, graph.ints(0), graph.ints(1 << 40), graph.ints(1), graph.ints(384))
        kept = graph.add("Slice", step, graph.ints(0), graph.length(grown["encoder.key"], 2), graph.ints(1))
        loudest = graph.add("Mul", loudest, graph.add("Unsqueeze", kept, graph.ints(1, 3)))
    heard = graph.add("ReduceMax", loudest, axes=[0, 1, 2, 3], keepdims=0)
    words = graph.add("Div", graph.length(grown["encoder.key"], 2), graph.ints(16))
    done = graph.add("Cast", graph.add("Greater", graph.length(grown["decoder.key"], 2), words), to=FLOAT)
    end = np.zeros(size, np.float32)
    end[2] = 100.0
    logits = graph.add("Add", said, graph.add("Mul", done, graph.const(end)))
    graph.output(
        "logits", graph.add("Add", logits, graph.add("Mul", heard, graph.const(1e-6))), FLOAT, ["B", "n", size]
    )
    for name, value in grown.items():
        graph.output(f"present.0.{name}", value, FLOAT, [name[0].upper(), 1, "l2", size])
    graph.save(folder / "decoder_model_merged.ort")
    lines = (f"{base64.b64encode(piece.encode()).decode()}\t{number}\n" for number, piece in enumerate(pieces))
    (folder / "tokens.txt").write_text("".join(lines))
    return {"encoder": "encoder_model.ort", "decoder": "decoder_model_merged.ort", "tokens": "tokens.txt"}
