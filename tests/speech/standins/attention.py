"""Models with an attention decoder, which says so many words a second: NeMo's Canary, and Whisper.

What they say depends on the language they are told.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.speech.standins.graphs import BOOL, FLOAT, INT32, INT64, Graph
from tests.speech.standins.words import WORDS, chain, one_hot

MIDDLE_MEL = 40
"""Of 80 mel bands those from here on are above 2.6 kHz; of 80 in Whisper's scale above 3 kHz."""
HIGH_SHARE = 0.2
"""Whisper's features of a sound without high parts are under this share of the low ones in the upper bands."""


def canary(folder: Path, languages: Sequence[str] = ("en", "de", "es", "fr")) -> dict[str, str]:
    """A NeMo multi-task model: its decoder remembers the tokens it was given, and says the words of their language."""
    marks = "<|startofcontext|> <|startoftranscript|> <|emo:undefined|> <|endoftext|> <|pnc|> <|nopnc|> <|noitn|>"
    marks += " <|notimestamp|> <|nodiarize|> <|en|> <|es|> <|de|> <|fr|>"
    tokens = [*marks.split(), *(f"▁{word}" for language in languages for word in WORDS[language])]
    size = len(tokens)
    graph = Graph("encoder")
    signal = graph.input("audio_signal", FLOAT, ["B", "T", 128])
    graph.input("length", INT64, ["B"])
    turned = graph.add("Transpose", signal, perm=[0, 2, 1])
    pooled = graph.add("AveragePool", turned, kernel_shape=[8], strides=[8])
    graph.output("encoder_states", graph.add("Transpose", pooled, perm=[0, 2, 1]), FLOAT, ["B", "S", 128])
    graph.output("encoded_len", graph.length(pooled, 2), INT64, ["B"])
    zero = graph.add("Mul", graph.add("ReduceMean", pooled, axes=[1], keepdims=0), graph.const(0))
    graph.output("enc_mask", graph.add("Cast", graph.add("Equal", zero, graph.const(0)), to=BOOL), BOOL, ["B", "S"])
    graph.save(
        folder / "encoder.onnx",
        {
            "model_type": "EncDecMultiTaskModel",
            "vocab_size": size,
            "normalize_type": "per_feature",
            "subsampling_factor": 8,
            "feat_dim": 128,
            "num_decoder_layers": 1,
            "decoder_hidden_size": size,
        },
    )
    graph = Graph("decoder")
    given = graph.input("decoder_input", INT32, [1, 2])
    state = graph.input("decoder_mems_0", FLOAT, [1, "L", size])
    heard = graph.input("encoder_states", FLOAT, [1, "S", 128])
    graph.input("enc_mask", BOOL, [1, "S"])
    token = graph.add("Gather", given, graph.ints(0), axis=1)
    now = one_hot(graph, token, size)
    seen = graph.add("Concat", state, now, axis=1)
    rows = [range(13 + 10 * at, 23 + 10 * at) for at in range(len(languages))]
    follows = chain(size, rows, {})
    after = graph.add("MatMul", now, graph.const(follows))
    # The language's first word follows the last of the nine marks, whichever of the marks before it said which.
    begins = np.zeros((size, size), np.float32)
    for at, language in enumerate(languages):
        begins[tokens.index(f"<|{language}|>"), rows[at][0]] = 3.0
    bag = graph.add("ReduceSum", seen, graph.ints(1), keepdims=1)
    start = graph.add("MatMul", bag, graph.const(begins))
    spent = graph.add("Sub", graph.length(seen, 1), graph.ints(9))
    words = graph.add("Div", graph.length(heard, 1), graph.ints(5))
    done = graph.add("Cast", graph.add("Greater", spent, words), to=FLOAT)
    place = np.zeros(size, np.float32)
    place[tokens.index("<|endoftext|>")] = 100.0
    logits = graph.add("Add", graph.add("Add", after, start), graph.add("Mul", done, graph.const(place)))
    graph.output("logits", logits, FLOAT, [1, 1, size])
    graph.output("decoder_hidden_states_0", seen, FLOAT, [1, "L2", size])
    graph.save(folder / "decoder.onnx")
    (folder / "tokens.txt").write_text("".join(f"{token} {number}\n" for number, token in enumerate(tokens)))
    return {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "tokens": "tokens.txt"}


def whisper(folder: Path, languages: Sequence[str] = ("en", "de"), *, tail: int = 1000) -> dict[str, str]:
    """A multilingual Whisper: 2.5 words a second in its language; unasked it hears the first of its languages where
    there is nothing high in the sound, else the second. ``tail`` are the frames that sherpa-onnx adds."""
    words = [word for language in languages for word in WORDS[language]]
    first_mark = len(words)
    eot, sot = first_mark, first_mark + 1
    codes = {language: sot + 1 + at for at, language in enumerate(languages)}
    translate = sot + 1 + len(languages)
    transcribe, no_speech, no_timestamps = translate + 1, translate + 2, translate + 3
    size, context = no_timestamps + 1, 64
    graph = Graph("encoder")
    mel = graph.input("mel", FLOAT, ["N", 80, "T"])
    halves = []
    for start, end in ((0, MIDDLE_MEL), (58, 80)):
        band = graph.add("Slice", mel, graph.ints(start), graph.ints(end), graph.ints(1))
        halves.append(graph.add("ReduceMean", band, axes=[1], keepdims=1))
    both = graph.add("Transpose", graph.add("Concat", *halves, axis=1), perm=[0, 2, 1])
    keys = graph.add("Unsqueeze", both, graph.ints(0))
    for name in ("n_layer_cross_k", "n_layer_cross_v"):
        graph.output(name, keys, FLOAT, [1, "N", "T", 2])
    graph.save(
        folder / "encoder.onnx",
        {
            "model_type": "whisper-standin",
            "n_mels": 80,
            "n_text_layer": 1,
            "n_text_ctx": context,
            "n_text_state": size,
            "n_vocab": size,
            "sot": sot,
            "eot": eot,
            "blank_id": 0,
            "translate": translate,
            "transcribe": transcribe,
            "is_multilingual": 1,
            "no_timestamps": no_timestamps,
            "no_speech": no_speech,
            "sot_sequence": f"{sot},{codes[languages[0]]},{transcribe}",
            "all_language_tokens": ",".join(str(code) for code in codes.values()),
            "all_language_codes": ",".join(codes),
        },
    )
    graph = Graph("decoder")
    tokens = graph.input("tokens", INT64, ["N", "n"])
    k_cache = graph.input("in_n_layer_self_k_cache", FLOAT, [1, "N", context, size])
    v_cache = graph.input("in_n_layer_self_v_cache", FLOAT, [1, "N", context, size])
    cross = graph.input("n_layer_cross_k", FLOAT, [1, "N", "T", 2])
    graph.input("n_layer_cross_v", FLOAT, [1, "N", "T", 2])
    offset = graph.input("offset", INT64, [1])
    now = one_hot(graph, tokens, size)
    bag = graph.add("ReduceSum", now, graph.ints(1), keepdims=1)
    memory = graph.add("Add", k_cache, graph.add("Unsqueeze", bag, graph.ints(0)))
    seen = graph.add("Squeeze", graph.add("Slice", memory, graph.ints(0), graph.ints(1), graph.ints(2)), graph.ints(0))
    begins = np.zeros((size, size), np.float32)
    for at, language in enumerate(languages):
        begins[codes[language], 10 * at] = 6.0
    rows = [range(10 * at, 10 * at + 10) for at in range(len(languages))]
    said = graph.add("MatMul", now, graph.const(chain(size, rows, {})))
    start = graph.add("MatMul", seen, graph.const(begins))
    speech = graph.add("Sub", graph.length(cross, 2), graph.ints(tail))
    most = graph.add("Add", graph.add("Div", speech, graph.ints(40)), graph.ints(4))
    reached = graph.add("Add", offset, graph.length(tokens, 1))
    done = graph.add("Cast", graph.add("Greater", reached, most), to=FLOAT)
    place = np.zeros(size, np.float32)
    place[eot] = 100.0
    logits = graph.add("Add", graph.add("Add", said, start), graph.add("Mul", done, graph.const(place)))
    # Which language: the loudest moment of the upper band against that of the lower.
    loudest = graph.add("Squeeze", graph.add("ReduceMax", cross, axes=[2], keepdims=1), graph.ints(0))
    ears = np.zeros((2, size), np.float32)
    ears[1, codes[languages[-1] if len(languages) < 2 else languages[1]]] = 1.0
    ears[0, codes[languages[0]]] = HIGH_SHARE
    heard = graph.add("MatMul", loudest, graph.const(ears))
    graph.output("logits", graph.add("Add", logits, heard), FLOAT, ["N", "n", size])
    graph.output("out_n_layer_self_k_cache", memory, FLOAT, [1, "N", context, size])
    graph.output("out_n_layer_self_v_cache", v_cache, FLOAT, [1, "N", context, size])
    graph.save(folder / "decoder.onnx")
    pieces = [f" {word}" for word in words] + [f"<|{at}|>" for at in range(size - len(words))]
    lines = (f"{base64.b64encode(piece.encode()).decode()} {number}\n" for number, piece in enumerate(pieces))
    (folder / "tokens.txt").write_text("".join(lines))
    return {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "tokens": "tokens.txt"}
