"""The recogniser by itself, without a server: word errors of recordings at 8 kHz mu-law, and how soon its words come.

``python -m benchmarks.recognition`` streams the recordings through one child, as fast as it takes them for the word
errors and in real time for the delays.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import jiwer

from benchmarks.speech import RATE, Clip, fleurs, prompts
from benchmarks.words import normalise
from kallglot.audio import g711
from kallglot.speech.engines.moonshine import MoonshineRecognizer
from kallglot.speech.types import Final, Partial, RecognizerOptions

FRAME_S = 0.02
PAUSE_S = 0.7
AHEAD_MS = 20_000


def line(clip: Clip) -> bytes:
    """What arrives of a clip over the telephone, and the pause after it."""
    return g711.mulaw_to_pcm(g711.pcm_to_mulaw(clip.samples.tobytes())) + bytes(int(PAUSE_S * RATE) * 2)


async def words(recognizer: MoonshineRecognizer, clips: list[Clip]) -> tuple[float, list[tuple[float, str, str]]]:
    """Word error rate over all clips, and for each its own with what was said and heard."""
    finals: list[Final] = []
    stream = await recognizer.open(
        RecognizerOptions(RATE, "en"), lambda event: finals.append(event) if isinstance(event, Final) else None
    )
    borders = [0.0]
    for clip in clips:
        audio = line(clip)
        borders.append(borders[-1] + len(audio) / 2 * 1000 / RATE)
        for at in range(0, len(audio), 320):
            stream.push(audio[at : at + 320])
        if stream.backlog_ms > AHEAD_MS:
            await stream.drain()
    stream.finish()
    await stream.drain()
    await stream.close()
    heard: list[list[str]] = [[] for _ in clips]
    for final in finals:
        middle = (final.start_ms + final.end_ms) / 2
        heard[max(n for n in range(len(clips)) if borders[n] <= middle)].append(final.text)
    pairs = [(normalise(clip.text), normalise(" ".join(said))) for clip, said in zip(clips, heard, strict=True)]
    each = [(jiwer.wer(said, got), said, got) for said, got in pairs]
    return jiwer.wer([said for said, _ in pairs], [got for _, got in pairs]), each


async def delays(recognizer: MoonshineRecognizer, clips: list[Clip]) -> tuple[list[float], list[float]]:
    """Seconds from the beginning of speech to the first partial, and from its end to the final, of each clip."""
    loop = asyncio.get_running_loop()
    told: list[tuple[float, Any]] = []
    stream = await recognizer.open(RecognizerOptions(RATE, "en"), lambda event: told.append((loop.time(), event)))
    begun, sent = loop.time(), 0
    bounds: list[tuple[float, float, float]] = []
    for clip in clips:
        audio = line(clip)
        bounds.append((sent / 2 / RATE, clip.start_s, clip.end_s))
        for at in range(0, len(audio), 320):
            sent += 320
            await asyncio.sleep(max(0.0, begun + sent / 2 / RATE - loop.time()))
            stream.push(audio[at : at + 320])
    await stream.drain()
    await stream.close()
    firsts: list[float] = []
    ends: list[float] = []
    for at, start_s, end_s in bounds:
        partials = [when for when, e in told if isinstance(e, Partial) and e.start_ms / 1000 >= at + start_s - 0.3]
        finals = [when for when, e in told if isinstance(e, Final) and abs(e.end_ms / 1000 - at - end_s) < 0.5]
        if partials:
            firsts.append(partials[0] - begun - at - start_s)
        if finals:
            ends.append(finals[-1] - begun - at - end_s)
    return firsts, ends


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return f"median {statistics.median(ordered):.2f} s, p95 {p95:.2f} s (n={len(ordered)})"


async def run(testdata: Path, *, worst: int, timed: int) -> None:
    recognizer = MoonshineRecognizer(processes=1)
    await recognizer.start()
    try:
        for name, clips in (("prompts", prompts(testdata)), ("FLEURS", fleurs(testdata))):
            rate, each = await words(recognizer, clips)
            print(f"{name}: {len(clips)} clips, WER {rate:.1%}")
            for wer, said, got in sorted(each, reverse=True)[:worst]:
                print(f"  {wer:.2f}  said  {said}\n        heard {got}")
        chosen = [clip for clip in prompts(testdata) if clip.end_s - clip.start_s > 1.5][:timed]
        firsts, ends = await delays(recognizer, chosen)
        print(f"first partial after speech begins: {spread(firsts)}")
        print(f"final after speech ends:           {spread(ends)}")
    finally:
        await recognizer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worst", type=int, default=0, help="also show so many of the worst clips")
    parser.add_argument("--timed", type=int, default=12, help="clips in real time")
    chosen = parser.parse_args()
    testdata = Path(os.environ.get("KALLGLOT_TESTDATA", Path(__file__).parents[2] / "shared" / "testdata"))
    if not testdata.is_dir():
        print(f"no recordings at {testdata}; set KALLGLOT_TESTDATA", file=sys.stderr)
        return 2
    asyncio.run(run(testdata, worst=chosen.worst, timed=chosen.timed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
