"""Deepgram, as documented: ``/v1/listen`` and ``/v1/speak``.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming, .../text-to-speech/speak-request
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import spoken
from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply
from tests.fakes.remote.words import WORDS, Words

MULTI = "multi"


class DeepgramListening(FakeRecognition):
    """Every utterance of two words or more comes as two settled pieces. With ``language=multi`` it says that everything
    is in Portuguese."""

    path = "/v1/listen"

    def rate_of(self, request: web.Request) -> int:
        return int(request.query["sample_rate"])

    def read(self, session: Session, message: Message) -> Command:
        if isinstance(message, bytes):
            session.data["buffered"] = True
            return message
        commands: dict[str, Command] = {"Finalize": "finish", "KeepAlive": "keepalive", "CloseStream": "close"}
        return commands[json.loads(message)["type"]]

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        yield self._results(session, words.numbers, words.start_ms, words.end_ms)

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        numbers = words.numbers
        half = len(numbers) // 2
        middle_ms = words.start_ms + (words.end_ms - words.start_ms) * half // len(numbers)
        if half:
            yield self._results(session, numbers[:half], words.start_ms, middle_ms, is_final=True)
        yield self._results(session, numbers[half:], middle_ms, words.end_ms, is_final=True, speech_final=True)

    def progress(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield self._results(session, (), max(0, until_ms - 500), until_ms, is_final=True)

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        if session.data.pop("buffered", False):
            yield self._results(session, (), until_ms, until_ms, is_final=True, from_finalize=True)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        body = {
            "err_code": "INVALID_AUTH",
            "err_msg": f"not with {asked.headers.get('Authorization')}",
            "request_id": "1",
        }
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    def _results(self, session: Session, numbers: tuple[int, ...], start_ms: int, end_ms: int, **changes: Any) -> str:
        step = (end_ms - start_ms) / max(1, len(numbers))
        multi = session.request.query["language"] == MULTI
        words = [
            {
                "word": WORDS[number].lower(),
                "punctuated_word": WORDS[number],
                "start": (start_ms + place * step) / 1000,
                "end": (start_ms + (place + 1) * step) / 1000,
                "confidence": 0.98,
                **({"language": "pt"} if multi else {}),
            }
            for place, number in enumerate(numbers)
        ]
        transcript = " ".join(WORDS[number] for number in numbers)
        alternative: dict[str, Any] = {"transcript": transcript, "confidence": 0.97 if words else 0.0, "words": words}
        if multi:
            alternative["languages"] = ["pt"] if words else []
        told = {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": (end_ms - start_ms) / 1000,
            "start": start_ms / 1000,
            "is_final": False,
            "speech_final": False,
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": "1", "model_info": {"name": "general-nova-3"}, "model_uuid": "1"},
            "from_finalize": False,
        }
        return json.dumps({**told, **changes}, ensure_ascii=False)


class DeepgramSpeaking(FakeServer):
    def routes(self) -> None:
        self.route("POST", "/v1/speak", self._speak)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        body = {"err_code": "TOO_MANY_REQUESTS", "err_msg": f"not with {asked.headers.get('Authorization')}"}
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    async def _speak(self, asked: Asked, request: Any) -> Reply:
        query = asked.query
        assert query["encoding"] == "linear16"
        assert query["container"] == "none"
        pcm = spoken(json.loads(asked.body)["text"], int(query["sample_rate"]))
        headers = {"dg-model-name": query["model"], "dg-request-id": "1"}
        return Reply([pcm[at : at + 999] for at in range(0, len(pcm), 999)], "audio/l16", headers=headers)
