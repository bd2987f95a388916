"""Recognition by models on this machine: every family by a stand-in, through its real loader in a real child process,
and the English model that comes with the installation."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.speech import prompts
from tests.speech.contract.makers import Kind, Rig, Spoken, local
from tests.speech.hearing import line
from tests.speech.standins.recognition import build_recogniser

from kallglot.speech.engines.child_recognizer import ChildRecognizer
from kallglot.speech.engines.moonshine import MoonshineRecognizer
from kallglot.speech.engines.sherpa import SherpaRecognizer

RATE = 8000
BEFORE_MS, AFTER_MS = 400, 900
ROOT = Path(__file__).parents[3]
TESTDATA = Path(os.environ.get("KALLGLOT_TESTDATA", ROOT.parent / "shared" / "testdata"))
LENGTHS_S = (1.2, 2.2)
SAME_CHILD = "the same child process as the streaming Moonshine's, which is asked"
OF_THE_CHILD = (
    "no_partials_where_none_are_wanted", "utterances_follow_one_another", "a_gap_ends_an_utterance", "nothing_said",
    "finish_ends_an_utterance_without_silence", "two_streams_at_once", "half_an_hour",
)  # fmt: skip
"""What does not depend on the model."""


@cache
def clips() -> list[Spoken]:
    """Prompts of somebody who makes no pause that would end an utterance."""
    found: list[Spoken] = []
    for clip in prompts(TESTDATA):
        length = clip.end_s - clip.start_s
        if LENGTHS_S[0] < length < LENGTHS_S[1]:
            speech = line(clip)[int(clip.start_s * RATE) * 2 : int(clip.end_s * RATE) * 2]
            pcm = bytes(BEFORE_MS * RATE // 500) + speech + bytes(AFTER_MS * RATE // 500)
            found.append(Spoken(pcm, None, BEFORE_MS, BEFORE_MS + int(length * 1000)))
    return found[:12]


@dataclasses.dataclass
class Local:
    name: str
    make: Callable[[Path], ChildRecognizer]
    language: str = "de"
    kind: Kind = "recognition"
    cannot: dict[str, str] = dataclasses.field(default_factory=local)
    speech: bool = True

    def missing(self) -> str | None:
        return None if TESTDATA.is_dir() else f"there are no recordings at {TESTDATA}"

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        with tempfile.TemporaryDirectory() as folder:
            engine = self.make(Path(folder))
            assert engine.missing() is None
            await engine.start()
            try:
                yield Rig(
                    engine,
                    rate=RATE,
                    language=self.language,
                    speak=lambda number: clips()[number % len(clips())],
                    tolerance_ms=250,
                    # Those of audio that comes faster than it is spoken are left out for the finals' sake.
                    partials=False,
                )
            finally:
                await engine.close()


def standin(family: str) -> Callable[[Path], ChildRecognizer]:
    return lambda folder: SherpaRecognizer(build_recogniser(folder, family), processes=1)


MAKERS = [
    Local("moonshine-streaming stand-in", standin("moonshine-streaming")),
    *(
        Local(f"{family} stand-in", standin(family), cannot=local(**dict.fromkeys(OF_THE_CHILD, SAME_CHILD)))
        for family in ("moonshine-v2", "zipformer-streaming", "parakeet", "canary", "whisper")
    ),
    Local(
        "moonshine-tiny-en",
        lambda _: MoonshineRecognizer(processes=1),
        "en",
        cannot=local(half_an_hour=SAME_CHILD, two_streams_at_once=SAME_CHILD, nothing_said=SAME_CHILD),
    ),
]
