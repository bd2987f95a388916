"""The bridge to plugins, with a plugin that talks to the plain fake server.

It needs ``livekit-agents``, which is heavy and in no group of dependencies: it is skipped where that is not installed.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

from tests.fakes.remote.deepgram import DeepgramListening
from tests.fakes.remote.plain import PlainFake, PlainServer
from tests.fakes.remote.server import FakeServer
from tests.speech.contract.makers import RemoteRecognizer, RemoteSynthesizer

from kallglot.speech.providers.livekit import LivekitRecognizer, LivekitSynthesizer
from kallglot.speech.remote.config import ProviderConfig

PLUGIN = "tests.fakes.remote.livekit_plugin"


def missing(package: str = "livekit.agents") -> str | None:
    try:
        found = importlib.util.find_spec(package) is not None
    except ImportError:
        found = False
    return None if found else f"{package} is not installed"


def _configured(config: ProviderConfig, server: FakeServer, **arguments: Any) -> ProviderConfig:
    options = {**config.options, "arguments": {"url": server.url, **arguments}}
    return dataclasses.replace(config, options=options, languages=("de", "en"))


class LivekitHearing(RemoteRecognizer):
    def missing(self) -> str | None:
        return missing()

    def _config(self, server: FakeServer, changes: Mapping[str, Any]) -> ProviderConfig:
        return _configured(super()._config(server, changes), server, rate=self.rate)


class LivekitDeepgram(RemoteRecognizer):
    """A vendor's own plugin, with the fake of its wire."""

    def missing(self) -> str | None:
        return missing("livekit.plugins.deepgram")

    def _config(self, server: FakeServer, changes: Mapping[str, Any]) -> ProviderConfig:
        config = super()._config(server, changes)
        options = {**config.options, "arguments": {"base_url": f"{server.url}/v1/listen", "sample_rate": self.rate}}
        return dataclasses.replace(config, options=options, languages=("de", "en"))


class LivekitSpeaking(RemoteSynthesizer):
    def missing(self) -> str | None:
        return missing()

    def _config(self, server: FakeServer, changes: Mapping[str, Any]) -> ProviderConfig:
        return _configured(super()._config(server, changes), server)


NO_RETRY_AFTER = {"too_many_requests": "plugins do not tell Retry-After"}
NOT_OURS = {
    **NO_RETRY_AFTER,
    "garbage": "the plugin reads the wire",
    "half_an_hour": "plugins do not tell that they heard silence, so that it is settled by time (see test_livekit)",
}

MAKERS = [
    LivekitHearing(
        "livekit bridge",
        LivekitRecognizer,
        PlainFake,
        cannot=NOT_OURS,
        config={"options": {"plugin": f"{PLUGIN}.Ears"}},
    ),
    LivekitDeepgram(
        "livekit-plugins-deepgram",
        LivekitRecognizer,
        DeepgramListening,
        cannot=NOT_OURS,
        config={"options": {"plugin": "livekit.plugins.deepgram.STT"}},
    ),
    LivekitSpeaking(
        "livekit bridge",
        LivekitSynthesizer,
        PlainServer,
        cannot={**NO_RETRY_AFTER, "an_empty_answer": "plugins tell it as trouble that passes: it is asked again"},
        config={"options": {"plugin": f"{PLUGIN}.Voice"}},
    ),
]
