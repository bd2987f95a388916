"""Translation by downloaded models in CTranslate2: Opus-MT and Argos pairs, MADLAD-400, M2M-100.

The models run in child processes. Small ones (``SMALL_BYTES``) share one set of children, since a child without a model
already takes some 60 MB and every model's threads would compete with the others'; in it they are loaded as they are
needed, and up to ``KEPT_BYTES`` of them stay. A large model has children of its own. One process is the rule for any
number of sessions: what waits at the same time is translated together, and a second copy of the weights is worth its
memory only where one process cannot keep up. See https://opennmt.net/CTranslate2/performance.html.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines.pieces import sentences, speaks
from kallglot.speech.engines.resources import cores
from kallglot.speech.engines.translation_worker import Configuration, Load, ModelFiles, Translate
from kallglot.speech.languages import base
from kallglot.speech.requests import RequestPool
from kallglot.speech.types import EngineError, Hints, Processes

FAMILIES: Final = ("opus-mt", "madlad", "m2m100")
LONGEST_TEXT: Final = 20_000
LONGEST_PIECE: Final = 300
AT_ONCE: Final = 4
"""Sentences of one text that wait for the model at the same time: a long text leaves room for the others."""
WINDOW: Final = 64
WAITING: Final = 256
ANSWER_SECONDS: Final = 10.0
START_SECONDS: Final = 180.0
SMALL_BYTES: Final = 700 << 20
KEPT_BYTES: Final = 2 << 30


class TranslationPool:
    """The children of some models, started with the first that is used and closed with the last."""

    def __init__(self, models: Sequence[InstalledModel], *, processes: int = 0, threads: int = 0) -> None:
        configuration = Configuration(
            [_files(model) for model in models if trouble_with(model) is None],
            threads or threads_of(cores()),
            KEPT_BYTES,
        )
        label = models[0].name if len(models) == 1 else "translation models"
        command = ["-m", "kallglot.speech.engines.translation_worker", msgspec.json.encode(configuration).decode()]
        self.requests = RequestPool(
            label,
            command,
            processes or 1,
            window=WINDOW,
            waiting=WAITING,
            answer_seconds=ANSWER_SECONDS,
            start_seconds=START_SECONDS,
        )
        self._users = 0
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        async with self._lock:
            if self._users == 0:
                await self.requests.start()
            self._users += 1

    async def close(self) -> None:
        async with self._lock:
            self._users -= 1
            if self._users == 0:
                await self.requests.close()


class CTranslateTranslator:
    """Translates sentence by sentence; sentences of all sessions that wait at the same time go into one batch.

    What has no words in it passes as it is. Glossary, names and figures are the business of
    :class:`kallglot.speech.faithful.FaithfulTranslator` around it: a model cannot be told to follow ``hints``, and
    leaves them. A process that dies is replaced, and what it was translating is asked once more.
    """

    def __init__(self, model: InstalledModel, *, processes: int = 0, pool: TranslationPool | None = None) -> None:
        self.name = model.name
        self.quality = model.quality
        self._model = model
        self._serves = frozenset((base(a), base(b)) for a, b in model.pairs)
        self._pool = pool or TranslationPool([model], processes=processes)
        self._started = False

    @property
    def pairs(self) -> Collection[tuple[str, str]]:
        return self._model.pairs

    @property
    def processes(self) -> Processes:
        return self._pool.requests.processes

    @property
    def healthy(self) -> bool:
        return self._pool.requests.healthy

    @property
    def pids(self) -> list[int]:
        return self._pool.requests.pids

    def missing(self) -> str | None:
        return trouble_with(self._model)

    async def start(self) -> None:
        """Returns when the model is loaded and has translated something. Raises :class:`EngineError`."""
        if self._started:
            return
        await self._pool.start()
        try:
            await self._load()
        except BaseException:
            await self._pool.close()
            raise
        self._started = True

    async def close(self) -> None:
        if self._started:
            self._started = False
            await self._pool.close()

    async def warm(self, source: str, target: str) -> None:
        """Returns when the model is loaded. Raises :class:`EngineError`."""
        self._check(source, target)
        await self._load()

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        self._check(source, target)
        if len(text) > LONGEST_TEXT:
            raise EngineError(f"{self.name}: expected at most {LONGEST_TEXT} characters, got {len(text)}")
        pieces = sentences(_readable(text), LONGEST_PIECE)
        slots = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._piece(piece, source, target, slots)) for piece, _ in pieces]
        except BaseExceptionGroup as failures:
            # The first failure tells it; the others are the same, or came of giving up.
            raise failures.exceptions[0] from None
        return "".join(task.result() + space for task, (_, space) in zip(asked, pieces, strict=True)).strip()

    async def _piece(self, text: str, source: str, target: str, slots: asyncio.Semaphore) -> str:
        if not speaks(text):
            return text
        async with slots:
            return str(await self._pool.requests.ask(_told(Translate(self.name, source, target, text))))

    async def _load(self) -> None:
        try:
            await self._pool.requests.ask(_told(Load(self.name)), within_s=START_SECONDS)
        except EngineError as error:
            raise EngineError(f"{error}; kallglot models verify {self.name}") from None

    def _check(self, source: str, target: str) -> None:
        if not self._started:
            raise EngineError(f"{self.name}: closed")
        if (base(source), base(target)) not in self._serves:
            raise EngineError(f"{self.name}: does not translate {source} to {target}")


def translators_of(models: Sequence[InstalledModel], *, processes: int = 0) -> list[CTranslateTranslator]:
    """An engine for each installed translation model of a family known here, in their order; not started."""
    known = [model for model in models if model.kind == "translation" and model.family in FAMILIES]
    small = [model for model in known if weight(model) <= SMALL_BYTES]
    shared = TranslationPool(small, processes=processes) if small else None
    return [
        CTranslateTranslator(model, processes=processes, pool=shared if model in small else None) for model in known
    ]


def trouble_with(model: InstalledModel) -> str | None:
    """None, or what keeps a model from being used and what to do about it."""
    absent = [name for name in ("ctranslate2", "sentencepiece") if importlib.util.find_spec(name) is None]
    if absent:
        return f"{' and '.join(absent)} cannot be imported: pip install {' '.join(absent)}"
    pull = f"kallglot models pull {model.name}"
    if model.family not in FAMILIES:
        return f"{model.name} is of a kind that is not known here ({model.family}): a newer version of kallglot may"
    source, target = _sentencepiece(model)
    for role, path in (("model", model.files.get("model")), ("source_sp", source), ("target_sp", target)):
        if path is None:
            return f"{model.name} has no {role}: {pull}"
        if not path.is_file():
            return f"{model.name} lacks {path.name}: {pull}"
    return None


def weight(model: InstalledModel) -> int:
    """What its weights take in memory, in bytes: about as much as on disk."""
    try:
        return model.files["model"].stat().st_size
    except (KeyError, OSError):
        return 0


def threads_of(count: int) -> int:
    """A batch of short sentences gains little from more than four, and recognition wants cores, too."""
    return max(1, min(4, count // 2))


def _files(model: InstalledModel) -> ModelFiles:
    source, target = _sentencepiece(model)
    options: dict[str, Any] = {**model.options, "pairs": [list(pair) for pair in model.pairs[:1]] or [["en", "en"]]}
    folder = model.files["model"].parent
    return ModelFiles(model.name, model.family, str(folder), str(source), str(target), weight(model), options)


def _sentencepiece(model: InstalledModel) -> tuple[Path | None, Path | None]:
    """Both sides' models; one for both where there is only one."""
    shared = model.files.get("sp")
    source = model.files.get("source_sp", shared)
    return source, model.files.get("target_sp", shared or source)


def _told(asked: Load | Translate) -> Any:
    return msgspec.to_builtins(asked)


def _readable(text: str) -> str:
    """Without characters that are none: half a surrogate cannot be encoded, and NUL ends a text in C."""
    return text.encode("utf-8", errors="replace").decode().replace("\0", " ").strip()
