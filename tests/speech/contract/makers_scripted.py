"""The scripted engines, which answer from a file: the simplest that run here."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.speech.contract.makers import Kind, Rig, Spoken, local, speak_words

from kallglot.speech.engines import scripted

LINES = ["Guten Tag, ich möchte bestellen", "Die Straße ist größer", "Auf Wiederhören"]
SCRIPT = scripted.msgspec.convert(
    {"languages": ["de", "en"], "recognition": {"de": LINES}, "synthesis": {"ms_per_character": 10}}, scripted.Script
)


@dataclasses.dataclass
class Scripted:
    kind: Kind
    engine: type
    name: str = "scripted"
    cannot: dict[str, str] = dataclasses.field(default_factory=local)
    speech: bool = False

    def missing(self) -> str | None:
        return None

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        tones = speak_words(8000)

        def speak(number: int) -> Spoken:
            return dataclasses.replace(tones(number), text=None)

        engine = self.engine(SCRIPT)
        await engine.start()
        yield Rig(engine, speak=speak, translate=lambda text, target: f"[{target}] {text}")
        await engine.close()


MAKERS = [
    Scripted("recognition", scripted.ScriptedRecognizer),
    Scripted(
        "translation", scripted.ScriptedTranslator, cannot=local(an_empty_text="tells what its script does not list")
    ),
    Scripted("synthesis", scripted.ScriptedSynthesizer),
]
