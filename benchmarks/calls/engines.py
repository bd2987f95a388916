"""The vendors at the other end: ``python -m benchmarks.calls.engines`` speaks the wires of Deepgram's streaming
recognition, DeepL's translation and ElevenLabs' streamed speech, and takes webhooks, on real sockets.

It is one process that does as little as it can, so that it is never what is measured. What is recognised follows from
how long the audio was loud (:mod:`benchmarks.calls.words`). On stdout it writes its two ports as a JSON object, and
ends with its stdin. ``GET /figures`` tells what it was asked.

https://developers.deepgram.com/reference/speech-to-text/listen-streaming,
https://developers.deepl.com/api-reference/translate,
https://elevenlabs.io/docs/api-reference/text-to-speech/stream
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvloop
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.calls import words
from kallglot.audio.g711 import audioop

LOUD: Final = 400
"""Root mean square of a piece of audio in which somebody speaks."""
ENDPOINTING_MS: Final = 300
PROGRESS_MS: Final = 1000
FIRST_PARTIAL_MS: Final = 150
PIECE_MS: Final = 100
"""Of synthetic speech, in one chunk of the answer."""


@dataclass(frozen=True)
class Latencies:
    """Milliseconds. ``final``: beyond the 300 ms of silence that end an utterance. ``pace``: times real time at which
    speech comes."""

    first_partial: float = FIRST_PARTIAL_MS
    final: float = 300
    translation: float = 120
    first_audio: float = 150
    pace: float = 1.2

    @property
    def altogether(self) -> float:
        """From the end of speech to the first sound of its translation, before anybody else does anything."""
        return ENDPOINTING_MS + self.final + self.translation + self.first_audio


@dataclass
class Counters:
    streams: int = 0
    open_streams: int = 0
    messages: int = 0
    finals: int = 0
    translations: int = 0
    spoken: int = 0
    hung_up: int = 0
    webhooks: int = 0
    refused: int = 0
    events: dict[str, int] = field(default_factory=dict)


class Recognition:
    """One stream: audio in, ``Results`` out, each with the milliseconds after which it is to be told. Pure."""

    def __init__(self, language: str, sample_rate_hz: int, latencies: Latencies) -> None:
        self._language = language
        self._rate = sample_rate_hz
        self._latencies = latencies
        self._now_ms = 0.0
        self._began_ms: float | None = None
        self._loud_ms = 0.0
        self._told = 0
        self._settled_ms = 0.0
        self.utterances = 0

    def feed(self, pcm: bytes) -> Iterator[tuple[float, bytes]]:
        self._now_ms += len(pcm) * 500 / self._rate
        if audioop.rms(pcm, 2) >= LOUD:
            self._loud_ms = self._now_ms
            if self._began_ms is None:
                self._began_ms = self._now_ms
            spoke_ms = self._now_ms - self._began_ms
            if spoke_ms >= self._latencies.first_partial and self._words > self._told:
                self._told = self._words
                yield 0.0, self._results(self._now_ms)
        elif self._began_ms is not None:
            if self._now_ms - self._loud_ms >= ENDPOINTING_MS:
                yield from self._end(speech_final=True)
        elif self._now_ms - self._settled_ms >= PROGRESS_MS:
            yield 0.0, self._results(self._now_ms, is_final=True)
            self._settled_ms = self._now_ms

    def finalize(self) -> Iterator[tuple[float, bytes]]:
        if self._began_ms is not None:
            yield from self._end(from_finalize=True)
        else:
            yield self._latencies.final, self._results(self._now_ms, is_final=True, from_finalize=True)

    @property
    def _words(self) -> int:
        """As far as it was spoken."""
        assert self._began_ms is not None
        return 1 + int((self._loud_ms - self._began_ms) // words.MS_PER_WORD)

    def _end(self, **changes: bool) -> Iterator[tuple[float, bytes]]:
        yield self._latencies.final, self._results(self._loud_ms, is_final=True, **changes)
        self._settled_ms = self._loud_ms
        self._began_ms, self._told = None, 0
        self.utterances += 1

    def _results(self, until_ms: float, **changes: bool) -> bytes:
        found = [] if self._began_ms is None else words.recognised(self._language, self.utterances, self._words)
        start_ms = self._settled_ms if self._began_ms is None else self._began_ms
        step = (until_ms - start_ms) / max(1, len(found))
        alternative = {
            "transcript": words.sentence(found),
            "confidence": 0.97 if found else 0.0,
            "words": [
                {
                    "word": word.lower(),
                    "punctuated_word": word,
                    "start": (start_ms + n * step) / 1000,
                    "end": (start_ms + (n + 1) * step) / 1000,
                    "confidence": 0.98,
                }
                for n, word in enumerate(found)
            ],
        }
        told = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": self._settled_ms / 1000,
            "duration": (until_ms - self._settled_ms) / 1000,
            "is_final": False,
            "speech_final": False,
            "from_finalize": False,
            "channel": {"alternatives": [alternative]},
            "metadata": {"request_id": "1", "model_info": {"name": "general-nova-3"}, "model_uuid": "1"},
        }
        return msgspec.json.encode({**told, **changes})


class Listening(WSListener):
    """Deepgram's ``/v1/listen``."""

    def __init__(self, recognition: Recognition, counters: Counters) -> None:
        super().__init__()
        self._recognition = recognition
        self._counters = counters
        self._transport: WSTransport | None = None
        self._later = asyncio.get_running_loop().call_later

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._counters.streams += 1
        self._counters.open_streams += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self._counters.open_streams -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._counters.messages += 1
        if frame.msg_type == WSMsgType.BINARY:
            for after_ms, told in self._recognition.feed(frame.get_payload_as_bytes()):
                self._tell(after_ms, told)
        elif frame.msg_type == WSMsgType.TEXT:
            match json.loads(frame.get_payload_as_bytes()).get("type"):
                case "Finalize":
                    for after_ms, told in self._recognition.finalize():
                        self._tell(after_ms, told)
                case "CloseStream":
                    self._send(b'{"type":"Metadata","duration":1.0,"channels":1,"request_id":"1"}')
                    transport.send_close(WSCloseCode.OK)
                    transport.disconnect()
                case _:
                    pass
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _tell(self, after_ms: float, told: bytes) -> None:
        if after_ms:
            self._counters.finals += 1
            self._later(after_ms / 1000, self._send, told)
        else:
            self._send(told)

    def _send(self, told: bytes) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, told)


class Answering(asyncio.Protocol):
    """A connection over HTTP/1.1 whose requests come one after the other, each with its length."""

    def __init__(self, latencies: Latencies, counters: Counters) -> None:
        self._latencies = latencies
        self._counters = counters
        self._transport: asyncio.Transport | None = None
        self._input = bytearray()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._input += data
        while (end := self._input.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self._input[:end]).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._input) < whole:
                return
            body = bytes(self._input[end + 4 : whole])
            del self._input[:whole]
            method, target, _ = lines[0].split(" ", 2)
            self._take(method, target, headers, body)

    def _take(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        path = urlsplit(target).path
        match method, path.split("/")[1:]:
            case "POST", ["v2", "translate"] if headers.get("authorization", "").startswith("DeepL-Auth-Key "):
                self._counters.translations += 1
                self._later(self._latencies.translation, self._reply, translation(json.loads(body)))
            case "POST", ["v1", "text-to-speech", _, "stream"] if headers.get("xi-api-key"):
                form = parse_qs(urlsplit(target).query)["output_format"][0]
                pcm = words.spoken(json.loads(body)["text"], int(form.removeprefix("pcm_")))
                self._counters.spoken += 1
                self._later(self._latencies.first_audio, self._begin_speech, pcm, int(form.removeprefix("pcm_")))
            case "POST", ["hook"]:
                self._counters.webhooks += 1
                kind = json.loads(body)["type"]
                self._counters.events[kind] = self._counters.events.get(kind, 0) + 1
                self._reply(b"{}")
            case "GET", ["figures"]:
                self._reply(msgspec.json.encode(self._counters))
            case _:
                self._counters.refused += 1
                self._reply(b'{"message":"no"}', "404 Not Found")

    def _later(self, ms: float, do: Callable[..., None], *given: Any) -> None:
        self._loop.call_later(ms / 1000, do, *given)

    def _reply(self, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._write(head.encode() + body)

    def _begin_speech(self, pcm: bytes, rate: int) -> None:
        self._write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._speak(pcm, 0, rate * PIECE_MS // 1000 * 2, self._loop.time())

    def _speak(self, pcm: bytes, at: int, size: int, due: float) -> None:
        if self._transport is None:
            self._counters.hung_up += 1
            return
        piece = pcm[at : at + size]
        last = at + size >= len(pcm)
        self._write(b"%x\r\n%b\r\n%b" % (len(piece), piece, b"0\r\n\r\n" if last else b""))
        if not last:
            due += PIECE_MS / 1000 / self._latencies.pace
            self._loop.call_at(due, self._speak, pcm, at + size, size, due)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def translation(document: dict[str, Any]) -> bytes:
    source = document["source_lang"]
    texts = [words.translated(text, source) for text in document["text"]]
    return msgspec.json.encode({"translations": [{"detected_source_language": source, "text": text} for text in texts]})


async def serve(latencies: Latencies) -> None:
    counters = Counters()

    def listening(request: WSUpgradeRequest) -> WSListener | None:
        asked = urlsplit(request.path.decode())
        query = parse_qs(asked.query)
        if asked.path != "/v1/listen" or query["encoding"] != ["linear16"] or "Authorization" not in request.headers:
            counters.refused += 1
            return None
        return Listening(Recognition(query["language"][0], int(query["sample_rate"][0]), latencies), counters)

    loop = asyncio.get_running_loop()
    heard = await ws_create_server(listening, "127.0.0.1", 0, backlog=2048)
    asked = await loop.create_server(lambda: Answering(latencies, counters), "127.0.0.1", 0, backlog=2048)
    ports = {"listen": heard.sockets[0].getsockname()[1], "http": asked.sockets[0].getsockname()[1]}
    print(json.dumps(ports), flush=True)
    gc.collect()
    gc.freeze()
    await loop.run_in_executor(None, sys.stdin.read)


def configuration(ports: dict[str, int]) -> str:
    """What ``KALLGLOT_ENGINES`` says of them."""
    most = "[engines.{}.budget]\nat_once = 4000\nwaiting = 4000\nwait_s = 5"
    http = f"http://127.0.0.1:{ports['http']}"
    return f"""
[engines.deepgram]
type = "deepgram"
url = "http://127.0.0.1:{ports["listen"]}"
api_key = "benchmark"
kinds = ["recognition"]
{most.format("deepgram")}

[engines.deepl]
type = "deepl"
url = "{http}"
api_key = "benchmark"
{most.format("deepl")}

[engines.elevenlabs]
type = "elevenlabs"
url = "{http}"
api_key = "benchmark"
{most.format("elevenlabs")}
[engines.elevenlabs.options]
sample_rate_hz = 8000

[recognition]
"*" = ["deepgram"]
[translation]
"*" = ["deepl"]
[synthesis]
"*" = ["elevenlabs"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Latencies()
    for name in Latencies.__dataclass_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(usual, name))
    uvloop.run(serve(Latencies(**vars(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
