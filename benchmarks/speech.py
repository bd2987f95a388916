"""What a caller notices: how right the words are, and how soon the other side hears them.

``python -m benchmarks.speech`` streams real recordings at 8 kHz mu-law, in real time, through the WebSocket of a server
of its own, and prints a table. The recordings are the test data beside the repository (``KALLGLOT_TESTDATA``).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jiwer
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.words import normalise
from kallglot.cli.calls import Server
from kallglot.cli.local import local_server
from kallglot.cli.phone import RATE, Phone, Samples, dial, load_speech

PAUSE_S = 1.6
"""Between two recordings: longer than the translation of most takes to be spoken would make the run endless."""


@dataclass
class Clip:
    name: str
    text: str
    samples: Samples
    start_s: float = 0.0
    end_s: float = 0.0

    def __post_init__(self) -> None:
        self.start_s, self.end_s = speech_bounds(self.samples)


@dataclass
class Placed:
    """A clip in a call: the second of the call at which its first sample was sent."""

    clip: Clip
    at: float


@dataclass
class Measured:
    words: list[tuple[str, str]] = field(default_factory=list)
    first_partial: list[float] = field(default_factory=list)
    final_after_end: list[float] = field(default_factory=list)
    audio_after_end: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, other: Measured) -> None:
        for name in ("words", "first_partial", "final_after_end", "audio_after_end", "missed"):
            getattr(self, name).extend(getattr(other, name))

    @property
    def wer(self) -> float:
        pairs = [(normalise(reference), normalise(heard)) for reference, heard in self.words]
        return jiwer.wer([reference for reference, _ in pairs], [heard for _, heard in pairs])


def speech_bounds(samples: Samples) -> tuple[float, float]:
    """Seconds of the first and last 10 ms that are louder than 35 dB below the loudest."""
    step = RATE // 100
    count = len(samples) // step
    frames = samples[: count * step].astype(np.float64).reshape(count, step)
    level = np.sqrt((frames**2).mean(axis=1)) + 1e-9
    loud = np.flatnonzero(level > level.max() * 10 ** (-35 / 20))
    return float(loud[0] * 0.01), float((loud[-1] + 1) * 0.01)


def prompts(testdata: Path) -> list[Clip]:
    folder = testdata / "speech" / "asterisk" / "en"
    with (folder / "transcripts.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    clips = []
    for row in rows:
        path = folder / row[0] if row[0].endswith(".wav") else folder / f"{row[0]}.wav"
        if path.exists():
            clips.append(Clip(path.stem, row[2], load_speech(path)))
    return clips


def fleurs(testdata: Path) -> list[Clip]:
    clips = []
    for path in sorted((testdata / "speech" / "fleurs" / "en").glob("*.ogg")):
        clips.append(
            Clip(path.stem, path.with_suffix(".txt").read_text(encoding="utf-8"), line_level(load_speech(path)))
        )
    return clips


def line_level(samples: Samples) -> Samples:
    """Brought to -3 dBFS: some of the recordings are too low to survive mu-law."""
    return (samples / np.abs(samples).max() * 32767 * 10 ** (-3 / 20)).astype(np.int16)


async def one_call(server: Server, clips: list[Clip], lead_s: float = 0.0) -> Measured:
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {server.api_key}"}, timeout=60
    ) as rest:
        body = {"mode": "bidirectional_translation", "source_language": "en", "target_language": "es"}
        session = (await rest.post("/v1/sessions", json=body)).raise_for_status().json()
        phone = await dial(session["stream"]["url"], session["stream"]["token"])
        placed: list[Placed] = []
        pause = np.zeros(int(PAUSE_S * RATE), np.int16)
        await phone.say(np.zeros(int((0.3 + lead_s) * RATE), np.int16), "customer")
        for clip in clips:
            placed.append(Placed(clip, phone.second))
            await phone.say(np.concatenate([clip.samples, pause]), "customer")
        await phone.listen("customer")
        await phone.hang_up()
    return measure(phone, placed)


def measure(phone: Phone, placed: list[Placed]) -> Measured:
    """Gives each turn to the clip in whose time it was spoken; the call begins with the first sample sent."""
    found = Measured()
    messages = phone.record.messages
    zero = min(at for at, message in messages if message["type"] == "session.ready")
    turns: dict[int, list[tuple[float, dict[str, Any]]]] = {index: [] for index in range(len(placed))}
    partials: dict[int, float] = {}
    for at, message in messages:
        if message["type"] not in ("transcript.final", "transcript.partial"):
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
    return found


async def run(testdata: Path, calls: int, only: int | None) -> dict[str, Any]:
    read, spoken = fleurs(testdata), prompts(testdata)
    if only is not None:
        read, spoken = read[:only], spoken[: only * calls]
    with tempfile.TemporaryDirectory() as folder:
        async with local_server(Path(folder)) as server:
            alone = await one_call(server, [clip for clip in spoken if clip.end_s - clip.start_s > 1.5][: only or 12])
            sentences = await one_call(server, read)
            together = Measured()
            shares = [spoken[n::calls] for n in range(calls)]
            for one in await asyncio.gather(
                *(one_call(server, share, lead_s=n * 0.37) for n, share in enumerate(shares) if share)
            ):
                together.add(one)
    return {
        "one call, prompts": describe(alone),
        "one call, FLEURS": describe(sentences),
        f"{calls} calls at once, prompts": describe(together),
    }


def describe(measured: Measured) -> dict[str, Any]:
    def of(values: list[float]) -> dict[str, float] | None:
        if not values:
            return None
        ordered = sorted(values)
        return {"median": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]}

    return {
        "clips": len(measured.words),
        "wer": measured.wer,
        "missed": measured.missed,
        "first_partial_s": of(measured.first_partial),
        "final_after_end_s": of(measured.final_after_end),
        "audio_after_end_s": of(measured.audio_after_end),
    }


def show(result: dict[str, Any], console: Console) -> None:
    table = Table(
        "",
        "clips",
        "WER",
        "first partial after\nspeech starts",
        "final after\nspeech ends",
        "translated audio\nafter speech ends",
    )
    for name, row in result.items():
        cells = [
            f"{row[key]['median']:.2f} s (p95 {row[key]['p95']:.2f})" if row[key] else "–"
            for key in ("first_partial_s", "final_after_end_s", "audio_after_end_s")
        ]
        table.add_row(name, str(row["clips"]), f"{row['wer']:.1%}", *cells)
    console.print(table)
    console.print("medians; 8 kHz mu-law in real time; client, server and engines share this machine", style="dim")


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
