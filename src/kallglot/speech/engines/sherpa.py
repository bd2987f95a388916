"""Recognisers of downloaded models: Moonshine, streaming Zipformer, Parakeet, Canary, Whisper."""

from __future__ import annotations

from typing import Final

from kallglot.models.installed import InstalledModel
from kallglot.speech.engines.child_recognizer import ChildRecognizer
from kallglot.speech.engines.recognition_models import ModelSpec, trouble
from kallglot.speech.engines.resources import cores, free_memory, share, size_of
from kallglot.speech.host import SILENT_SECONDS

FAMILIES: Final = ("moonshine-v2", "moonshine-streaming", "zipformer-streaming", "parakeet", "canary", "whisper")


class SherpaRecognizer(ChildRecognizer):
    """``processes`` 0 is as many as the machine has room for, beside ``models`` others that share it."""

    def __init__(
        self,
        model: InstalledModel,
        *,
        processes: int = 0,
        models: int = 1,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        spec, count = placed(model, processes=processes, models=models)
        super().__init__(model.name, spec, processes=count, silent_seconds=silent_seconds)
        self.quality = model.quality

    def missing(self) -> str | None:
        return missing_of(self.name, self._spec) or super().missing()


def placed(model: InstalledModel, *, processes: int, models: int) -> tuple[ModelSpec, int]:
    """What a child is told of a model, and how many children it gets."""
    files = {role: str(path) for role, path in model.files.items()}
    fair = share(
        size_of(list(files.values())),
        models=models,
        cores=cores(),
        free_bytes=free_memory(),
        asked=processes,
    )
    return ModelSpec(model.family, files, model.languages, fair.threads, dict(model.options)), fair.processes


def missing_of(name: str, spec: ModelSpec) -> str | None:
    wrong = trouble(spec)
    if wrong is None or "not installed" in wrong:
        return wrong
    return f"the model {name} is not complete, {wrong}: kallglot models pull {name}"
