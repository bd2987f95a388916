"""What a caller notices: how right the words are, how soon the other side hears them, and whether that stays so.

``python -m benchmarks.speech`` streams real recordings at 8 kHz mu-law, in real time, through the WebSocket of a server
of its own, and prints a table. The recordings are the test data beside the repository (``KALLGLOT_TESTDATA``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.measured import Measured, erasure, growth, scores
from kallglot.cli.calls import Server
from kallglot.cli.local import local_server
from kallglot.cli.phone import RATE, Phone, Samples, dial, load_speech
from kallglot.evaluation.corpus import find, parallel
from kallglot.evaluation.lines import LEVEL, speech_bounds
from kallglot.evaluation.words import normalise

SESSION = {"mode": "bidirectional_translation", "source_language": "en", "target_language": "es"}
DELAYS = {
    "first partial after speech begins": "first_partial_s",
    "final after speech ends": "final_after_end_s",
    "translated audio after speech ends": "audio_after_end_s",
    "translation heard to its end after speech ends": "heard_after_end_s",
    "translated audio after its translation": "playout_s",
    "growth of the lag, in a minute": "lag_growth_s_per_minute",
}
PAUSE_S = 1.6
"""Between two recordings: longer than the translation of most takes to be spoken would make the run endless."""


@dataclass
class Clip:
    name: str
    text: str
    samples: Samples
    translation: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0

    def __post_init__(self) -> None:
        self.start_s, self.end_s = speech_bounds(self.samples, RATE)


@dataclass
class Placed:
    """A clip in a call: the second of the call at which its first sample was sent."""

    clip: Clip
    at: float


def prompts(testdata: Path) -> list[Clip]:
    recordings = find(testdata / "speech" / "asterisk" / "en").recordings
    return [Clip(one.path.stem, one.text, load_speech(one.path)) for one in recordings]


def fleurs(testdata: Path, translations: dict[str, str] | None = None) -> list[Clip]:
    """Sentences of FLORES read out; with their translations where ``translations`` has them."""
    known = {normalise(source): target for source, target in (translations or {}).items()}
    return [
        Clip(one.path.stem, one.text, line_level(load_speech(one.path)), known.get(normalise(one.text)))
        for one in find(testdata / "speech" / "fleurs" / "en").recordings
    ]


def flores(testdata: Path) -> list[tuple[str, str]]:
    """English sentences with their Spanish."""
    folder = testdata / "mt"
    return list(parallel(folder / "flores-dev.en", folder / "flores-dev.es", None, None).lines)


def line_level(samples: Samples) -> Samples:
    """Brought to -3 dBFS: some of the recordings are too low to survive mu-law."""
    return (samples / np.abs(samples).max() * 32767 * LEVEL).astype(np.int16)


async def one_call(server: Server, clips: list[Clip], lead_s: float = 0.0) -> Measured:
    async with api(server) as rest:
        session = (await rest.post("/v1/sessions", json=SESSION)).raise_for_status().json()
        phone = await dial(session["stream"]["url"], session["stream"]["token"])
        placed: list[Placed] = []
        pause = np.zeros(int(PAUSE_S * RATE), np.int16)
        await phone.say(np.zeros(int((0.3 + lead_s) * RATE), np.int16), "customer")
        for clip in clips:
            placed.append(Placed(clip, phone.second))
            await phone.say(np.concatenate([clip.samples, pause]), "customer")
        await phone.listen("customer")
        await phone.hang_up()
        timings = (await rest.get(f"/v1/sessions/{session['id']}/timings")).raise_for_status().json()
    return measure(phone, placed, timings["turns"])


async def typed(server: Server, sentences: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sentences through a session as text: references and translations."""
    async with api(server) as rest:
        session = (await rest.post("/v1/sessions", json=SESSION)).raise_for_status().json()
        told = asyncio.Event()

        def note(_: float, message: dict[str, Any]) -> None:
            if message["type"] == "transcript.final":
                told.set()

        phone = await dial(session["stream"]["url"], session["stream"]["token"], note, query="&participant=customer")
        for source, _ in sentences:
            told.clear()
            await phone.type(source, "customer")
            await told.wait()
        await phone.hang_up()
    finals = phone.record.finals()
    return [
        (reference, (final["translation"] or {"text": ""})["text"])
        for (_, reference), final in zip(sentences, finals, strict=True)
    ]


def api(server: Server) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {server.api_key}"}
    return httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60)


def measure(phone: Phone, placed: list[Placed], timings: list[dict[str, Any]]) -> Measured:
    """Gives each turn to the clip in whose time it was spoken; the call begins with the first sample sent."""
    found = Measured()
    messages = phone.record.messages
    zero = min(at for at, message in messages if message["type"] == "session.ready")
    turns: dict[int, list[tuple[float, dict[str, Any]]]] = {index: [] for index in range(len(placed))}
    partials: dict[int, float] = {}
    for at, message in messages:
        if message["type"] not in ("transcript.final", "transcript.partial") or not message["text"]:
            continue
        spoken = zero + message["start_ms"] / 1000
        index = max((n for n, one in enumerate(placed) if one.at - 0.4 <= spoken), default=0)
        if message["type"] == "transcript.final":
            turns[index].append((at, message))
        else:
            partials.setdefault(index, at)
    for index, one in enumerate(placed):
        heard = " ".join(message["text"] for _, message in turns[index])
        found.words.append((one.clip.text, heard))
        if one.clip.translation:
            translated = " ".join((message["translation"] or {"text": ""})["text"] for _, message in turns[index])
            found.translations.append((one.clip.translation, translated))
        if index in partials:
            found.first_partial.append(partials[index] - one.at - one.clip.start_s)
        if not turns[index]:
            found.missed.append(one.clip.name)
            continue
        ended = one.at + one.clip.end_s
        final_at, last = turns[index][-1]
        found.final_after_end.append(final_at - ended)
        if last["turn_id"] in phone.record.first_audio:
            found.audio_after_end.append(phone.record.first_audio[last["turn_id"]] - ended)
    by_turn = {turn["turn_id"]: turn for turn in timings}
    lasts = [by_turn.get(said[-1][1]["turn_id"]) for said in turns.values() if said]
    found.heard_after_end = [
        (turn["heard_ms"] - turn["speech_end_ms"]) / 1000 for turn in lasts if turn and turn["heard_ms"] is not None
    ]
    found.erased, found.shown = erasure([message for _, message in messages])
    found.playout = [
        (turn["first_audio_ms"] - turn["translated_ms"]) / 1000
        for turn in timings
        if turn["first_audio_ms"] is not None and turn["translated_ms"] is not None
    ]
    grown = growth(timings)
    found.lag_growth = [] if grown is None else [grown]
    return found


async def run(testdata: Path, calls: int, only: int | None) -> dict[str, Any]:
    parallel = flores(testdata)
    read, spoken = fleurs(testdata, dict(parallel)), prompts(testdata)
    sentences = parallel[: 20 * only if only else 200]
    if only is not None:
        read, spoken = read[:only], spoken[: only * calls]
    with tempfile.TemporaryDirectory() as folder:
        async with local_server(Path(folder)) as server:
            alone = await one_call(server, [clip for clip in spoken if clip.end_s - clip.start_s > 1.5][: only or 12])
            read_out = await one_call(server, read)
            together = Measured()
            shares = [spoken[n::calls] for n in range(calls)]
            for one in await asyncio.gather(
                *(one_call(server, share, lead_s=n * 0.37) for n, share in enumerate(shares) if share)
            ):
                together.add(one)
            written = await typed(server, sentences)
    return {
        "one call, prompts": alone.described(),
        "one call, FLEURS": read_out.described(),
        f"{calls} calls at once, prompts": together.described(),
        "typed, FLORES": {"clips": len(written), "translation": scores(written)},
    }


def show(result: dict[str, Any], console: Console) -> None:
    spoken = {name: row for name, row in result.items() if "wer" in row}
    table = Table("", *spoken)
    table.add_row("clips", *(str(row["clips"]) for row in spoken.values()))
    table.add_row("word error rate", *(f"{row['wer']:.1%}" for row in spoken.values()))
    table.add_row("words taken back in captions, per word", *(f"{row['erasure']:.2f}" for row in spoken.values()))
    for label, key in DELAYS.items():
        table.add_row(label, *(spread(row[key]) for row in spoken.values()))
    console.print(table)
    console.print("seconds: median (95th percentile); 8 kHz mu-law in real time; client, server and engines share this")
    console.print("machine. The end of speech is where the level falls; FLEURS has room noise behind the last word.")
    translated = Table("translation", "sentences", "BLEU", "chrF")
    for name, row in result.items():
        if "translation" in row:
            found = row["translation"]
            translated.add_row(name, str(found["sentences"]), f"{found['bleu']:.1f}", f"{found['chrf']:.1f}")
    console.print(translated)


def spread(found: dict[str, float] | None) -> str:
    return f"{found['median']:.2f} ({found['p95']:.2f})" if found else "–"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4, help="calls at once in the last part")
    parser.add_argument("--only", type=int, help="so many clips a call, for a quick look")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    chosen = parser.parse_args()
    testdata = Path(os.environ.get("KALLGLOT_TESTDATA", Path(__file__).parents[2] / "shared" / "testdata"))
    if not testdata.is_dir():
        print(f"no recordings at {testdata}; set KALLGLOT_TESTDATA", file=sys.stderr)
        return 2
    result = asyncio.run(run(testdata, chosen.calls, chosen.only))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2))
    show(result, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
