"""What a call notices when its recogniser is lost in the middle of an utterance, with many calls at once.

``python -m benchmarks.failover`` streams speech in real time from 20 callers to a stand-in for a vendor over real
sockets, with a second one behind it. In the middle of everybody's third utterance the first is killed, falls silent, or
closes its connections and answers 429. The status is 1 where a word was lost or told twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from tests.fakes.remote.deepgram import DeepgramListening
from tests.fakes.remote.server import Fault
from tests.fakes.remote.words import WORDS, say, text

from kallglot.speech.failover.recognizer import FailoverRecognizer
from kallglot.speech.failover.rests import Rests
from kallglot.speech.providers.deepgram import DeepgramRecognizer
from kallglot.speech.remote.config import Budget, ProviderConfig
from kallglot.speech.types import Final as FinalText
from kallglot.speech.types import RecognizerEvent, RecognizerOptions, RecognizerStream, Restarted

RATE: Final = 16_000
FRAME: Final = RATE // 50 * 2
FAULTS: Final = ("killed", "stalled", "limited")
STRUCK: Final = 2
"""The utterance in whose middle the engine is lost."""
UTTERANCES: Final = 6
PAUSE_MS: Final = 1_000
PATIENCE_S: Final = 30.0


@dataclass
class Caller:
    """``said`` is when the last sample of each utterance's speech was sent, ``told`` its words and when they came."""

    number: int
    utterances: list[tuple[int, ...]]
    said: list[float] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)
    restarts: int = 0
    lost_ms: int = 0

    def on_event(self, event: RecognizerEvent) -> None:
        if isinstance(event, FinalText) and event.text.strip():
            self.told.append((time.monotonic(), event.text))
        elif isinstance(event, Restarted):
            self.restarts += 1
            self.lost_ms += event.lost_ms

    @property
    def wanted(self) -> list[str]:
        return " ".join(text(one) for one in self.utterances).split()

    @property
    def words(self) -> list[str]:
        return " ".join(words for _, words in self.told).split()

    def delays(self) -> list[float | None]:
        """Seconds from the end of each utterance to the final that brings its last word."""
        found: list[float | None] = []
        counted, at = 0, iter(self.told)
        end = 0
        when = 0.0
        for number, one in enumerate(self.utterances):
            end += len(one)
            while counted < end:
                told = next(at, None)
                if told is None:
                    return [*found, *[None] * (len(self.utterances) - number)]
                when = told[0]
                counted += len(told[1].split())
            found.append(when - self.said[number])
        return found

    async def speak(self, stream: RecognizerStream, struck: asyncio.Event) -> None:
        due = time.monotonic()
        for number, one in enumerate(self.utterances):
            speech = say(one, RATE, before_ms=0, after_ms=0)
            audio = speech + bytes(RATE * PAUSE_MS // 1000 * 2)
            for at in range(0, len(audio), FRAME):
                stream.push(audio[at : at + FRAME])
                if number == STRUCK and at >= len(speech) // 2:
                    struck.set()
                if at < len(speech) <= at + FRAME:
                    self.said.append(time.monotonic())
                due += 0.02
                await asyncio.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True)
class Outcome:
    fault: str
    calls: int
    utterances: int
    lost: int
    doubled: int
    usual: Sequence[float]
    struck: Sequence[float]
    after: Sequence[float]
    back: int
    """Calls that were with the spare engine at the end."""


async def strike(first: DeepgramListening, fault: str) -> None:
    if fault == "killed":
        for session in first.sessions:
            if session.request.transport is not None:
                session.request.transport.abort()
        await first.__aexit__()
    elif fault == "stalled":
        first.always = Fault("silent")
        for session in first.sessions:
            session.fault = first.always
    else:
        first.always = Fault("refuse", status=429, headers={"Retry-After": "30"})
        for session in first.sessions:
            session.fault = Fault("drop")


async def measure(fault: str, calls: int) -> Outcome:
    first, second = DeepgramListening(), DeepgramListening()
    await first.__aenter__()
    await second.__aenter__()
    engines = [
        DeepgramRecognizer(
            ProviderConfig(name, url=server.url, api_key="k", languages=("de",), budget=Budget(at_once=2 * calls))
        )
        for name, server in (("first", first), ("spare", second))
    ]
    for engine in engines:
        await engine.start()
    recognizer = FailoverRecognizer(engines, Rests(time.monotonic))
    callers = [
        Caller(number, [tuple((number + turn + n) % len(WORDS) for n in range(12)) for turn in range(UTTERANCES)])
        for number in range(calls)
    ]
    streams = [await recognizer.open(RecognizerOptions(RATE, "de"), caller.on_event) for caller in callers]
    struck = asyncio.Event()

    async def later() -> None:
        await struck.wait()
        await strike(first, fault)

    striking = asyncio.create_task(later())
    await asyncio.gather(
        *(caller.speak(stream, struck) for caller, stream in zip(callers, streams, strict=True)), striking
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(stream.drain() for stream in streams))
    except TimeoutError:
        print("not everything was recognised in time", file=sys.stderr)
    back = sum(getattr(stream, "engine", None) == "spare" for stream in streams)
    await asyncio.gather(*(stream.close() for stream in streams))
    for engine in engines:
        await engine.close()
    if fault != "killed":
        await first.__aexit__()
    await second.__aexit__()
    return _outcome(fault, callers, back)


def _outcome(fault: str, callers: Sequence[Caller], back: int) -> Outcome:
    delays = [caller.delays() for caller in callers]
    lost = sum(max(0, len(caller.wanted) - len(caller.words)) for caller in callers)
    doubled = sum(max(0, len(caller.words) - len(caller.wanted)) for caller in callers)
    wrong = [caller for caller in callers if caller.words != caller.wanted]
    for caller in wrong[:3]:
        print(f"{fault}, caller {caller.number}: {' | '.join(words for _, words in caller.told)}", file=sys.stderr)
    return Outcome(
        fault,
        len(callers),
        sum(len(caller.utterances) for caller in callers),
        lost + sum(len(caller.words) == len(caller.wanted) for caller in wrong),
        doubled,
        [one for some in delays for one in some[:STRUCK] if one is not None],
        [one for some in delays for one in some[STRUCK : STRUCK + 1] if one is not None],
        [one for some in delays for one in some[STRUCK + 1 :] if one is not None],
        back,
    )


def _spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "–"
    p95 = statistics.quantiles(values, n=20, method="inclusive")[-1]
    return f"{statistics.median(values):.2f} / {p95:.2f}"


def show(outcomes: Sequence[Outcome]) -> Table:
    table = Table("engine", "calls", "utterances", "words lost", "told twice", title="Seconds: p50 / p95")
    for name in ("final before", "of the one that was hit", "after", "with the spare at the end"):
        table.add_column(name)
    for one in outcomes:
        table.add_row(
            one.fault,
            str(one.calls),
            str(one.utterances),
            str(one.lost),
            str(one.doubled),
            _spread(one.usual),
            _spread(one.struck),
            _spread(one.after),
            f"{one.back} of {one.calls}",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--only", choices=FAULTS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    faults = [given.only] if given.only else list(FAULTS)
    outcomes = [asyncio.run(measure(fault, given.calls)) for fault in faults]
    Console(width=150).print(show(outcomes))
    if given.json is not None:
        figures = [
            {
                "fault": one.fault,
                "calls": one.calls,
                "utterances": one.utterances,
                "lost": one.lost,
                "doubled": one.doubled,
                "before": list(one.usual),
                "struck": list(one.struck),
                "after": list(one.after),
            }
            for one in outcomes
        ]
        given.json.write_text(json.dumps(figures, indent=1))
    return 1 if any(one.lost or one.doubled for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
