import importlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from tests.fakes.remote.server import FakeServer
from tests.speech.contract.makers import RemoteRecognizer, Rig

from kallglot.speech.providers.google_recognition import GoogleRecognizer


def _server() -> FakeServer:
    # Importing the SDK takes a while.
    return importlib.import_module("tests.fakes.remote.google_recognition").GoogleListening()


@dataclass
class _Google(RemoteRecognizer):
    def missing(self) -> str | None:
        return self.engine(self._config(FakeServer(), {})).missing()

    def rig(self, **changes: Any) -> AbstractAsyncContextManager[Rig]:
        return super().rig(**changes)


MAKERS = [
    _Google(
        "google", GoogleRecognizer, _server,
        config={"options": {"project": "kallglot-test", "idle_s": 0.05}},
        cannot={"characters_cut_in_two": "gRPC delivers whole messages"},
    )
]  # fmt: skip
