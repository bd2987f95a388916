"""English speech recognition that comes with the installation: Moonshine tiny-en in child processes."""

from __future__ import annotations

from pathlib import Path

from kallglot.speech.engines.child_recognizer import ChildRecognizer
from kallglot.speech.engines.moonshine_model import model_folder, model_spec
from kallglot.speech.engines.resources import cores
from kallglot.speech.host import SILENT_SECONDS


class MoonshineRecognizer(ChildRecognizer):
    """``processes`` 0 is one for each core."""

    def __init__(
        self, *, processes: int = 0, model_dir: Path | None = None, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        self._model_dir = model_dir
        super().__init__(
            "moonshine-tiny-en",
            model_spec(model_folder(model_dir) or model_dir or Path("tiny-en")),
            processes=processes or cores(),
            silent_seconds=silent_seconds,
        )

    def missing(self) -> str | None:
        if model_folder(self._model_dir) is None:
            return "the English recognition model is not installed: pip install moonshine-voice==0.1.0"
        return super().missing()
