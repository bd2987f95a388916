"""CTranslate2 with random weights, of each family: what it says means nothing."""

from __future__ import annotations

import dataclasses
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.speech.contract.makers import Kind, Rig, local

from kallglot.models.installed import InstalledModel

PAIRS = (("de", "en"), ("en", "de"))


@dataclasses.dataclass
class LocalTranslation:
    name: str
    build: Callable[[Path], InstalledModel]
    kind: Kind = "translation"
    cannot: dict[str, str] = dataclasses.field(default_factory=local)
    speech: bool = True

    def missing(self) -> str | None:
        absent = [name for name in ("ctranslate2", "sentencepiece") if importlib.util.find_spec(name) is None]
        return f"{' and '.join(absent)} not installed" if absent else None

    @asynccontextmanager
    async def rig(self, **changes: Any) -> AsyncIterator[Rig]:
        from kallglot.speech.engines.translation_models import CTranslateTranslator

        with tempfile.TemporaryDirectory() as folder:
            engine = CTranslateTranslator(self.build(Path(folder)))
            assert engine.missing() is None
            await engine.start()
            try:
                yield Rig(engine)
            finally:
                await engine.close()


def opus(folder: Path) -> InstalledModel:
    from tests.speech.standins import translation

    return translation.opus(folder, "de", "en")


def _of_many(family: str, mark: str) -> Callable[[Path], InstalledModel]:
    def build(folder: Path) -> InstalledModel:
        from tests.speech.standins import translation

        return translation.of_many(folder, family, [mark.format(code) for code in ("de", "en")], PAIRS)

    return build


MAKERS = [
    LocalTranslation("CTranslate2, Opus-MT", opus),
    LocalTranslation("CTranslate2, M2M-100", _of_many("m2m100", "__{}__")),
]
