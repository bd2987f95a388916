"""Azure Speech's WebSocket, as its protocol is described:
https://docs.microsoft.com/en-us/azure/cognitive-services/speech/api-reference-rest/websocketprotocol"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.fakes.remote.recognition import Command, FakeRecognition, Message, Session
from tests.fakes.remote.words import Listener, Words

RIFF_HEADER = 44


class AzureListening(FakeRecognition):
    """Tells turns apart by their request ids, and takes no audio of the next before the last has ended."""

    path = "/speech/recognition/conversation/cognitiveservices/v1"

    def read(self, session: Session, message: Message) -> Command:
        headers, body = _parts(message)
        if headers["path"] != "audio":
            session.data.setdefault("told", {})[headers["path"]] = json.loads(body)
            return None
        data = session.data
        request_id = headers["x-requestid"]
        assert isinstance(body, bytes)
        if body.startswith(b"RIFF"):
            assert data.get("turn") is None, "a turn was begun while another was not over"
            assert headers["content-type"] == "audio/x-wav"
            rate = int.from_bytes(body[24:28], "little")
            if rate != session.rate:
                session.rate = rate
                session.listener = Listener(rate)
            data.update(turn=request_id, began_ms=session.listener.now_ms, last_ms=session.listener.now_ms)
            data["turns"] = data.get("turns", 0) + 1
            body = body[RIFF_HEADER:]
            return body or b""
        if data["turn"] is None:
            return b""
        assert request_id == data["turn"], "audio of another turn"
        return body or "finish"

    def partial(self, session: Session, words: Words) -> Iterable[Message]:
        if len(words.numbers) == 1:
            yield _message(session, "turn.start", {"context": {"serviceTag": "1"}})
            yield _message(session, "speech.startDetected", {"Offset": self._ticks(session, words.start_ms)})
        told = {"Text": words.text.lower(), **self._place(session, words)}
        yield _message(session, "speech.hypothesis", told)

    def final(self, session: Session, words: Words) -> Iterable[Message]:
        best = {
            "Confidence": 0.93,
            "Lexical": words.text,
            "ITN": words.text,
            "MaskedITN": words.text,
            "Display": words.text,
        }
        told = {"RecognitionStatus": "Success", **self._place(session, words), "NBest": [best]}
        yield _message(session, "speech.phrase", told)

    def progress(self, session: Session, until_ms: int) -> Iterable[Message]:
        told = {"RecognitionStatus": "InitialSilenceTimeout", "Offset": self._ticks(session, until_ms), "Duration": 0}
        yield _message(session, "speech.phrase", told)

    def flushed(self, session: Session, until_ms: int) -> Iterable[Message]:
        yield _message(session, "speech.endDetected", {"Offset": self._ticks(session, until_ms)})
        yield end_turn(session)

    def _place(self, session: Session, words: Words) -> dict[str, int]:
        start, end = self._ticks(session, words.start_ms), self._ticks(session, words.end_ms)
        return {"Offset": start, "Duration": end - start}

    def _ticks(self, session: Session, ms: int) -> int:
        return max(0, ms - session.data["began_ms"]) * 10_000


def end_turn(session: Session) -> str:
    told = _message(session, "turn.end", {})
    session.data["turn"] = None
    return told


def _message(session: Session, path: str, document: dict[str, Any]) -> str:
    lines = (f"X-RequestId:{session.data['turn']}", "Content-Type:application/json; charset=utf-8", f"Path:{path}")
    return "\r\n".join((*lines, "", json.dumps(document, ensure_ascii=False)))


def _parts(message: Message) -> tuple[dict[str, str], str | bytes]:
    if isinstance(message, str):
        head, body = message.split("\r\n\r\n", 1)
    else:
        length = int.from_bytes(message[:2], "big")
        head, body = message[2 : 2 + length].decode(), message[2 + length :]
    pairs = (line.split(":", 1) for line in head.strip().split("\r\n"))
    return {name.lower(): value.strip() for name, value in pairs}, body
