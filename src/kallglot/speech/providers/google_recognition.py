"""Google Cloud Speech-to-Text v2: streaming recognition, which Google offers over gRPC only.

Needs the extra ``google`` (google-cloud-speech). Options: ``project`` (needed), ``location`` (``global``; ``eu``,
``europe-west4``), ``recognizer`` (``_``, the implicit one), and who asks: an ``api_key``, or ``credentials`` (a
service account's JSON file; ``default`` for those of the machine). ``idle_s`` (4): after so long without audio a call
is ended. ``model``: ``long``, ``telephony``, ``chirp_2`` ...
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlsplit

from kallglot.speech.providers import google_recognition_wire as wire
from kallglot.speech.providers.google_recognition_calls import Calls
from kallglot.speech.providers.recognition_locales import LOCALES, locale_of
from kallglot.speech.remote.codec import Opening, RecognitionCodec
from kallglot.speech.remote.config import Patience, ProviderConfig
from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.http import HttpClient
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import RecognizerOptions

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
PACKAGE: Final = "google.cloud.speech_v2"


class GrpcClient(HttpClient):
    """Connects by gRPC instead of a WebSocket: one channel an engine, over which all its calls go."""

    def __init__(self, engine: RemoteEngine, config: ProviderConfig) -> None:
        super().__init__(config.name, config.timeouts, engine.clock, engine.reason)
        self._config = config
        self._channel: Any = None
        self._grpc: Any = None
        self.messages: Any = None

    @property
    def started(self) -> bool:
        return self._channel is not None

    async def start(self) -> None:
        if self._channel is None:
            self._grpc, self.messages, credentials = await asyncio.to_thread(self._load)
            self._channel = self._open_channel(credentials)

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    async def connect(self, opening: Opening, patience: Patience) -> Any:
        channel = self._channel
        if channel is None:
            raise RemoteError(f"{self._config.name} is not started", blame="budget")
        try:
            async with asyncio.timeout(patience.connect_s):
                await channel.channel_ready()
        except TimeoutError:
            raise RemoteError(f"{self._config.name} cannot be reached") from None
        method = channel.stream_stream(wire.METHOD)
        metadata = tuple(opening.headers.items())
        return Calls(self._config.name, lambda: method(metadata=metadata), self._grpc.aio.EOF, self._clock.now)

    def _load(self) -> tuple[Any, Any, Any]:
        """What takes long: imports, and reading credentials. Raises :class:`EngineError`."""
        name = self._config.name
        try:
            grpc = importlib.import_module("grpc")
            importlib.import_module("grpc.aio")
            messages = wire.protos()
        except ImportError:
            raise RemoteError(f"{name} needs the extra google", passing=False) from None
        if self._config.api_key:
            return grpc, messages, None
        try:
            return grpc, messages, self._credentials(grpc)
        except Exception as error:
            # What the library says of a key file may quote it.
            what = f"its credentials cannot be used: {type(error).__name__}"
            raise RemoteError(f"{name}: {what}", blame="key") from None

    def _credentials(self, grpc: Any) -> Any:
        given = self._config.text("credentials")
        transport = importlib.import_module("google.auth.transport.grpc")
        requests = importlib.import_module("google.auth.transport.requests")
        if given and given != "default":
            account = importlib.import_module("google.oauth2.service_account")
            found = account.Credentials.from_service_account_file(given, scopes=[SCOPE], always_use_jwt_access=True)
        else:
            found, _ = importlib.import_module("google.auth").default(scopes=[SCOPE])
        host = urlsplit(address(self._config)).hostname
        plugin = transport.AuthMetadataPlugin(found, requests.Request(), default_host=host)
        return grpc.metadata_call_credentials(plugin)

    def _open_channel(self, credentials: Any) -> Any:
        parts = urlsplit(address(self._config))
        options = [
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.primary_user_agent", "kallglot"),
        ]
        aio = self._grpc.aio
        if parts.scheme == "http":
            return aio.insecure_channel(parts.netloc, options=options)
        secure = self._grpc.ssl_channel_credentials()
        if credentials is not None:
            secure = self._grpc.composite_channel_credentials(secure, credentials)
        return aio.secure_channel(parts.netloc, secure, options=options)


class GoogleRecognizer(StreamingRecognizer):
    key_needed: ClassVar[bool] = False
    default_languages: ClassVar[tuple[str, ...]] = tuple(LOCALES)

    def __init__(self, config: ProviderConfig, **named: Any) -> None:
        super().__init__(config, **named)
        self._client = GrpcClient(self, config)
        self.http = self._client

    def missing(self) -> str | None:
        if not _installed():
            return f"{self.name} needs google-cloud-speech: install kallglot with the extra google"
        if not self.config.text("project"):
            return f"{self.name} needs the option project, the Google Cloud project"
        if not self.config.api_key and not self.config.text("credentials"):
            return f"{self.name} needs an API key or the option credentials"
        return super().missing()

    def codec(self, options: RecognizerOptions) -> RecognitionCodec:
        if self._client.messages is None:
            raise RemoteError(f"{self.name} is not started", blame="budget")
        languages = self._languages(options.language)
        recognizer = "/".join(
            ("projects", self._option("project", ""), "locations", self._option("location", "global"), "recognizers")
        )
        recognizer = f"{recognizer}/{self._option('recognizer', '_')}"
        first = wire.configuration(
            self._client.messages,
            recognizer=recognizer,
            languages=languages,
            sample_rate_hz=options.sample_rate_hz,
            model=self.config.model or wire.MODEL,
            terms=options.terms,
        )
        headers = {"x-goog-request-params": f"recognizer={quote(recognizer, safe='')}"}
        if self.config.api_key:
            headers["x-goog-api-key"] = self.config.api_key
        return wire.GoogleCodec(
            Opening(address(self.config), headers),
            options.sample_rate_hz,
            self._client.messages,
            first,
            partials=options.partials,
            tells_language=len(languages) > 1,
            idle_s=self.config.number("idle_s", wire.IDLE_S),
        )

    def _languages(self, language: str | None) -> list[str]:
        """Google's codes. Without a language it listens for up to three that are configured, else for English."""
        if language is None:
            wanted = [locale_of(tag, self.config.languages) for tag in self.config.languages[:MOST_LANGUAGES]]
            return [code for code in wanted if code] or ["en-US"]
        code = locale_of(language, self.config.languages)
        if code is None:
            raise RemoteError(f"{self.name} does not serve {language}", blame="request")
        return [code]

    def _option(self, option: str, default: str) -> str:
        return self.config.text(option, default) or default


MOST_LANGUAGES: Final = 3


def address(config: ProviderConfig) -> str:
    """Of the location, unless one is configured; http:// is without TLS."""
    location = config.text("location", "global")
    at = wire.ADDRESS if location == "global" else wire.ADDRESS.replace("://", f"://{location}-")
    return config.address(at)


def _installed() -> bool:
    try:
        return importlib.util.find_spec(PACKAGE) is not None
    except ImportError:
        return False
