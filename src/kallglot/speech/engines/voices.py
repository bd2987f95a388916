"""Neural voices, downloaded: Piper (VITS) and Kokoro, in sherpa-onnx, each in child processes of its own.

They read phonemes, which the program espeak-ng makes of a text; it is GPL and stays a program of its own, as everywhere
here. A voice whose files bring a ``lexicon`` can do without. Options of a model, as the catalogue has them:

- ``sample_rate_hz``
- ``speakers``: names in the order of their numbers, or names with their numbers
- ``default_speakers``: a speaker's name by language
- ``espeak_voice``, or ``espeak_voices`` by language: the pronunciation, where the language does not say it
- ``noise_scale``, ``noise_scale_w``, ``length_scale``, ``silence_scale``: the model's own
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import Any, Final

import msgspec

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines.espeak_phonemes import BINARY, voice_for
from kallglot.speech.engines.pieces import spoken
from kallglot.speech.engines.resources import cores
from kallglot.speech.engines.voice_worker import Speak, VoiceFiles
from kallglot.speech.languages import base, match
from kallglot.speech.requests import RequestPool
from kallglot.speech.types import EngineError, Processes, Voice

FAMILIES: Final = ("piper", "kokoro")
LONGEST_TEXT: Final = 20_000
LONGEST_PIECE: Final = 240
CHUNK_BYTES: Final = 8_192
WINDOW: Final = 2
"""Pieces given to a child: the next is there when it is done with one, and what is cancelled was not begun."""
WAITING: Final = 64
ANSWER_SECONDS: Final = 15.0
_SCALES: Final = ("noise_scale", "noise_scale_w", "length_scale", "silence_scale")


class SherpaVoice:
    """Speaks sentence by sentence, at about -21 dBFS: the next is made while the last is heard, and no more.

    ``Voice.name`` may be a speaker's name or number; one that the model does not have is passed over. A text that is
    no longer listened to costs at most the sentence that is being made. A process that dies is replaced, and the
    sentence asked once more.
    """

    def __init__(self, model: InstalledModel, *, processes: int = 0) -> None:
        self.name = model.name
        self.quality = model.quality
        self.sample_rate_hz = int(model.options.get("sample_rate_hz", 22_050))
        self._model = model
        self._languages = frozenset((*model.languages, *map(base, model.languages)))
        self._speakers = _speakers(model)
        self._pool: RequestPool | None = None
        self._processes = processes or 1

    @property
    def languages(self) -> Collection[str]:
        """As the model has them, and without their regions: a German voice serves who asks for any German."""
        return self._languages

    @property
    def processes(self) -> Processes:
        return self._pool.processes if self._pool is not None else Processes(self._processes, 0, 0, 0, 0)

    @property
    def healthy(self) -> bool:
        return self._pool is not None and self._pool.healthy

    @property
    def pids(self) -> list[int]:
        return self._pool.pids if self._pool is not None else []

    def missing(self) -> str | None:
        return trouble_with(self._model)

    async def start(self) -> None:
        """Returns when the voice is loaded. Raises :class:`EngineError`."""
        if self._pool is not None:
            return
        files = msgspec.json.encode(_files(self._model)).decode()
        pool = RequestPool(
            self.name,
            ["-m", "kallglot.speech.engines.voice_worker", files],
            self._processes,
            window=WINDOW,
            waiting=WAITING,
            answer_seconds=ANSWER_SECONDS,
        )
        try:
            about: dict[str, Any] = await pool.start()
        except EngineError as error:
            raise EngineError(f"{error}; kallglot models verify {self.name}") from None
        self.sample_rate_hz = int(about["sample_rate"])
        self._pool = pool

    async def close(self) -> None:
        """Ends the processes; what is being spoken fails."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def synthesize(self, text: str, language: str, voice: Voice) -> AsyncIterator[bytes]:
        return self._speak(text, language, voice)

    async def _speak(self, text: str, language: str, voice: Voice) -> AsyncGenerator[bytes]:
        if self._pool is None:
            raise EngineError(f"{self.name}: closed")
        if len(text) > LONGEST_TEXT:
            raise EngineError(f"{self.name}: expected at most {LONGEST_TEXT} characters, got {len(text)}")
        pool = self._pool
        serves = self._language(language)
        speaker = self._speaker(voice.name, serves)
        speed = min(2.0, max(0.5, voice.speed if math.isfinite(voice.speed) else 1.0))
        accent = self._accent(language, serves)
        readable = text.encode("utf-8", errors="replace").decode().replace("\0", " ").strip()
        pieces = [piece for piece, _ in spoken(readable, LONGEST_PIECE) if piece.strip()]
        following: asyncio.Task[Any] | None = None
        try:
            for number in range(len(pieces)):
                making = following or asyncio.create_task(pool.ask(_told(pieces[number], speaker, speed, accent)))
                following = making
                pcm: bytes = await making
                following = None
                if number + 1 < len(pieces):
                    following = asyncio.create_task(pool.ask(_told(pieces[number + 1], speaker, speed, accent)))
                for at in range(0, len(pcm), CHUNK_BYTES):
                    yield pcm[at : at + CHUNK_BYTES]
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    def _language(self, language: str) -> str:
        """The model's own language that serves this one."""
        own = match(language, self._model.languages)
        if own is None:
            own = next((other for other in self._model.languages if base(other) == base(language)), None)
        if own is None:
            raise EngineError(f"{self.name}: has no voice for {language}")
        return own

    def _speaker(self, name: str | None, language: str) -> int:
        if name is not None:
            if name in self._speakers:
                return self._speakers[name]
            if name.isdecimal() and int(name) in self._speakers.values():
                return int(name)
        defaults: dict[str, str] = self._model.options.get("default_speakers", {})
        return self._speakers.get(defaults.get(language) or defaults.get(base(language)) or "", 0)

    def _accent(self, language: str, serves: str) -> str | None:
        """The pronunciation: as the model has it, else the voice's own language."""
        by_language: dict[str, str] = self._model.options.get("espeak_voices", {})
        found = by_language.get(language) or by_language.get(serves) or self._model.options.get("espeak_voice")
        if found:
            return str(found)
        # A Piper voice names its own; one of Kokoro's many languages is said by its tag.
        return None if self._model.family == "piper" else voice_for(serves)


def synthesizers_of(models: Sequence[InstalledModel], *, processes: int = 0) -> list[SherpaVoice]:
    """An engine for each installed voice of a family known here, in their order; not started."""
    return [
        SherpaVoice(model, processes=processes)
        for model in models
        if model.kind == "synthesis" and model.family in FAMILIES
    ]


def trouble_with(model: InstalledModel) -> str | None:
    """None, or what keeps a voice from being used and what to do about it."""
    if importlib.util.find_spec("sherpa_onnx") is None:
        return "sherpa-onnx cannot be imported: pip install sherpa-onnx"
    pull = f"kallglot models pull {model.name}"
    if model.family not in FAMILIES:
        return f"{model.name} is of a kind that is not known here ({model.family}): a newer version of kallglot may"
    for role in ("model", "tokens", *(("voices",) if model.family == "kokoro" else ())):
        path = model.files.get(role)
        if path is None:
            return f"{model.name} has no {role}: {pull}"
        if not path.is_file():
            return f"{model.name} lacks {path.name}: {pull}"
    if shutil.which(BINARY) is None and not _lexicon(model):
        return f"{model.name} needs espeak-ng for its pronunciation: apt-get install espeak-ng"
    return None


def threads_of(count: int) -> int:
    """Of one voice. A sentence is made faster by two, hardly by more, and recognition wants cores, too."""
    return max(1, min(2, count // 2))


def _told(text: str, speaker: int, speed: float, accent: str | None) -> Any:
    return msgspec.to_builtins(Speak(text, speaker, speed, accent))


def _files(model: InstalledModel) -> VoiceFiles:
    files = model.files
    scales = {name: float(model.options[name]) for name in _SCALES if name in model.options}
    return VoiceFiles(
        model.name,
        model.family,
        str(files["model"]),
        str(files["tokens"]),
        str(files.get("voices", "")),
        _lexicon(model),
        shutil.which(BINARY) is not None,
        threads_of(cores()),
        **scales,
    )


def _lexicon(model: InstalledModel) -> str:
    return str(model.files.get("lexicon", ""))


def _speakers(model: InstalledModel) -> dict[str, int]:
    named: Any = model.options.get("speakers") or []
    if isinstance(named, dict):
        return {str(name): int(number) for name, number in named.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {str(name): number for number, name in enumerate(named)}
