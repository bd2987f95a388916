"""The plainest vendor there could be: what the base is tested with, and an example of a codec and its fake."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.server import Asked, FakeServer, Reply, json_reply
from tests.fakes.remote.words import Words

from kallglot.speech.remote.codec import Acknowledged, CodecDefaults, Flushed, Heard, Opening, Ready
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.remote.synthesizer import RemoteSynthesizer
from kallglot.speech.remote.translator import RemoteTranslator
from kallglot.speech.types import Final, Hints, Partial, RecognizerOptions, Voice


class PlainCodec(CodecDefaults):
    waits_for_ready = True

    def __init__(self, config: ProviderConfig, options: RecognizerOptions) -> None:
        self.config = config
        self.sample_rate_hz = int(config.number("rate", options.sample_rate_hz))
        self.answers_flush = config.flag("answers_flush", True)
        self.talkative = config.flag("talkative", False)
        self.keepalive_s = config.number("keepalive_s", 0) or None
        self.gap_silence_ms = int(config.number("gap_silence_ms", 0))

    def open(self) -> Opening:
        url = f"{self.config.address(None)}/listen?rate={self.sample_rate_hz}"
        return Opening(url, {"Authorization": f"Bearer {self.config.api_key}"}, greeting=('{"type":"hello"}',))

    def audio(self, pcm: bytes) -> Sequence[Message]:
        return (pcm,)

    def finish(self) -> Sequence[Message]:
        return ('{"type":"finish"}',)

    def keepalive(self) -> Sequence[Message]:
        return ('{"type":"keepalive"}',)

    def close(self) -> Sequence[Message]:
        return ('{"type":"bye"}',)

    def read(self, message: Message) -> Iterable[Heard]:
        told: Any = msgspec.json.decode(message)
        match told["type"]:
            case "ready":
                yield Ready()
            case "partial":
                yield Partial(told["text"], "", told["start"])
            case "final":
                yield Final(told["text"], told["start"], told["end"], 0.9)
            case "progress":
                yield Acknowledged(told["until"])
            case "flushed":
                yield Flushed()
            case "error":
                raise RemoteError("plain refuses", blame="key" if told["code"] == 401 else "engine")
            case _:
                raise ValueError("unknown")


class PlainRecognizer(StreamingRecognizer):
    default_languages = ("de", "en")

    def codec(self, options: RecognizerOptions) -> PlainCodec:
        return PlainCodec(self.config, options)


class PlainFake(FakeRecognition):
    def rate_of(self, request: Any) -> int:
        return int(request.query["rate"])

    def greeting(self, session: Session) -> Iterable[Message]:
        return ('{"type":"ready"}',)

    def read(self, session: Session, message: Message) -> Command:
        if isinstance(message, bytes):
            return message
        return {"finish": "finish", "keepalive": "keepalive", "bye": "close"}.get(json.loads(message)["type"])  # type: ignore[return-value]

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        yield _json(type="partial", text=words.text, start=words.start_ms)

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        yield _json(type="final", text=words.text, start=words.start_ms, end=words.end_ms)

    def progress(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield _json(type="progress", until=until_ms)

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield _json(type="flushed")


class PlainTranslator(RemoteTranslator):
    default_languages = ("de", "en")

    def request(self, text: str, source: str, target: str, hints: Hints) -> Request:
        return Request(
            f"{self.config.address(None)}/translate",
            headers={"Authorization": f"Bearer {self.config.api_key}"},
            document={"text": text, "from": source, "to": target},
        )

    def read(self, answer: Answer) -> str:
        return answer.json()["text"]


class PlainSynthesizer(RemoteSynthesizer):
    sample_rate_hz = 16000
    default_languages = ("de", "en")

    def request(self, text: str, language: str, voice: Voice) -> Request:
        return Request(
            f"{self.config.address(None)}/speak",
            headers={"Authorization": f"Bearer {self.config.api_key}"},
            document={"text": text, "language": language, "voice": voice.name},
            most_bytes=1 << 24,
        )


def translated(text: str, target: str) -> str:
    """What fakes answer: the words the other way round, and something that is no ASCII."""
    return f"«{target}» {' '.join(reversed(text.split()))} – 好"


def spoken(text: str, rate: int) -> bytes:
    """What fakes say: 10 ms for each character, each sample the next number, so that nothing can be lost unnoticed."""
    count = len(text) * rate // 100
    return b"".join((number % 30000 + 1).to_bytes(2, "little") for number in range(count))


class PlainServer(FakeServer):
    def routes(self) -> None:
        self.route("POST", "/translate", self._translate)
        self.route("POST", "/speak", self._speak)

    async def _translate(self, asked: Asked, request: Any) -> Reply:
        document = json.loads(asked.body)
        return json_reply({"text": translated(document["text"], document["to"])})

    async def _speak(self, asked: Asked, request: Any) -> Reply:
        pcm = spoken(json.loads(asked.body)["text"], 16000)
        return Reply([pcm[at : at + 999] for at in range(0, len(pcm), 999)], "audio/pcm")


def _json(**document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)
