"""Recognition by a transcription session over the realtime WebSocket.

Who ends utterances is the option ``turns``: ``server`` (its voice activity detection) or ``ours`` (by loudness, each
committed by us; for models without detection, such as gpt-live-transcribe, and the default for these).

Sources: https://developers.openai.com/api/docs/guides/realtime-transcription (today's sessions:
``intent=transcription``, ``session.update`` of type ``transcription``, 24 kHz PCM) and the reference of the realtime
client and server events.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from kallglot.audio.endpointing import WINDOW_MS, Endpointer, Step
from kallglot.audio.g711 import audioop
from kallglot.audio.gate import EnergyGate
from kallglot.speech.languages import base
from kallglot.speech.providers.openai import LANGUAGES, PUBLIC_URL, OpenAIEngine, key_header
from kallglot.speech.remote.codec import Acknowledged, CodecDefaults, Flushed, Heard, Message, Opening, Ready
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.ledger import QUIET_RMS
from kallglot.speech.remote.recognizer import StreamingRecognizer
from kallglot.speech.types import EngineError, Partial, RecognizerOptions, SpeechStarted, SpeechStopped
from kallglot.speech.types import Final as FinalText

RATE_HZ: Final = 24000
PADDING_MS: Final = 300
SILENCE_MS: Final = 500
LEAST_MS: Final = 100
"""How much later than a server we may notice speech."""
FEWEST_LOUD: Final = 2
"""Windows; less is a click, or the end of what was cut off before."""
COMMITTING: Final = ("gpt-live-transcribe", "gpt-realtime-whisper")
"""Models without voice activity detection."""
_KEY_CODES: Final = ("invalid_api_key", "insufficient_quota", "account_deactivated", "billing_hard_limit_reached")
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription."


class OpenAIRealtimeRecognizer(OpenAIEngine, StreamingRecognizer):
    default_model = "gpt-live-transcribe"
    default_languages = LANGUAGES

    def codec(self, options: RecognizerOptions) -> RealtimeCodec:
        turns = self.config.text("turns") or ("ours" if self.model in COMMITTING else "server")
        if turns not in ("ours", "server"):
            raise EngineError(f"{self.name}: the option turns has to be server or ours", passing=False)
        return RealtimeCodec(self.config, self.model, options, server_turns=turns == "server")


@dataclass(slots=True)
class _Item:
    """A committed piece of audio whose text is out, or a question that is answered once all before it is."""

    id: str | None
    start_ms: int
    end_ms: int
    text: str | None = None
    flush: bool = False


@dataclass(slots=True)
class _Commit:
    start_ms: int
    end_ms: int
    flush: bool


class RealtimeCodec(CodecDefaults):
    sample_rate_hz = RATE_HZ
    waits_for_ready = True
    answers_flush = False
    piece_ms = 60

    def __init__(self, config: ProviderConfig, model: str, options: RecognizerOptions, *, server_turns: bool) -> None:
        self._config = config
        self._model = model
        self._options = options
        self._server_turns = server_turns
        self._turns = _Turns(ours=not server_turns)
        self._commits: deque[_Commit] = deque()
        """Ours, unanswered."""
        self._cleared = 0
        self._order: deque[_Item] = deque()
        self._texts: dict[str, str] = {}
        self._times: dict[str, tuple[int, int | None]] = {}
        """Of the server's own turns: from when to when."""
        self._early: dict[str, str] = {}
        """Texts of items that were not said to be committed yet."""
        self._done: deque[str] = deque(maxlen=64)

    def open(self) -> Opening:
        query = {"intent": "transcription"}
        if self._config.url is not None:
            # Servers that serve several models want to know which before they accept.
            query["model"] = self._model
        url = f"{self._config.address(PUBLIC_URL)}/realtime?{urlencode(query)}"
        return Opening(url, key_header(self._config), greeting=(_json(type="session.update", session=self._session()),))

    def audio(self, pcm: bytes) -> Sequence[Message]:
        out: list[Message] = [_json(type="input_audio_buffer.append", audio=base64.b64encode(pcm).decode())]
        for start_ms, end_ms in self._turns.hear(pcm):
            if not self._server_turns:
                out.append(self._commit(start_ms, end_ms, flush=False))
        return out

    def finish(self) -> Sequence[Message]:
        """Silence is not to be transcribed: models hear things in it."""
        start_ms, end_ms, loud = self._turns.cut()
        if not loud:
            self._cleared += 1
            return (_json(type="input_audio_buffer.clear"),)
        return (self._commit(start_ms, end_ms, flush=True),)

    def read(self, message: Message) -> Iterable[Heard]:
        told: Any = msgspec.json.decode(message)
        kind: Any = told["type"]
        if kind == "error":
            yield from self._error(told["error"])
        elif kind in ("session.updated", "session.created"):
            yield Ready()
        elif kind == "input_audio_buffer.speech_started":
            at_ms = self._turns.near(told["audio_start_ms"])
            self._times[told["item_id"]] = (at_ms, None)
            self._forget()
            yield SpeechStarted(at_ms)
        elif kind == "input_audio_buffer.speech_stopped":
            start_ms = self._times.get(told["item_id"], (0, None))[0]
            end_ms = max(start_ms, told["audio_end_ms"] - SILENCE_MS)
            self._times[told["item_id"]] = (start_ms, end_ms)
            yield SpeechStopped(end_ms)
        elif kind == "input_audio_buffer.committed":
            self._committed(told["item_id"])
            yield from self._settled()
        elif kind == "input_audio_buffer.cleared":
            if self._cleared:
                self._cleared -= 1
                self._order.append(_Item(None, 0, 0, "", flush=True))
            yield from self._settled()
        elif kind.startswith(_TRANSCRIPTION):
            yield from self._transcription(kind.removeprefix(_TRANSCRIPTION), told)

    def _session(self) -> dict[str, Any]:
        transcription: dict[str, Any] = {"model": self._model}
        if self._options.language is not None:
            transcription["language"] = base(self._options.language)
        if self._options.terms:
            transcription["prompt"] = ", ".join(self._options.terms)[:600]
        detection = {"type": "server_vad", "prefix_padding_ms": PADDING_MS, "silence_duration_ms": SILENCE_MS}
        return {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": RATE_HZ},
                    "transcription": transcription,
                    "turn_detection": detection if self._server_turns else None,
                }
            },
        }

    def _commit(self, start_ms: int, end_ms: int, *, flush: bool) -> Message:
        self._commits.append(_Commit(start_ms, end_ms, flush))
        return _json(type="input_audio_buffer.commit")

    def _committed(self, item: str) -> None:
        if item in self._done or any(one.id == item for one in self._order):
            return
        start_ms, end_ms = self._times.pop(item, (0, None))
        if end_ms is not None:
            self._turns.ended(end_ms)
            self._order.append(_Item(item, start_ms, end_ms, self._early.pop(item, None)))
        elif self._commits:
            ours = self._commits.popleft()
            text = self._early.pop(item, None)
            self._order.append(_Item(item, ours.start_ms, ours.end_ms, text, flush=ours.flush))

    def _transcription(self, kind: str, told: Any) -> Iterable[Heard]:
        item: str = told["item_id"]
        if item in self._done:
            return
        if kind == "delta":
            if not isinstance(told["delta"], str):
                raise ValueError("no text")
            text = self._texts[item] = self._texts.get(item, "") + told["delta"]
            self._forget()
            start_ms = self._start_of(item)
            if start_ms is not None:
                yield Partial(text.strip(), "", start_ms)
        elif kind == "completed":
            text = told["transcript"]
            if not isinstance(text, str):
                raise ValueError("no text")
            self._texts.pop(item, None)
            waiting = next((one for one in self._order if one.id == item), None)
            if waiting is None:
                self._early[item] = text
                self._forget()
            else:
                waiting.text = text
            yield from self._settled()
        elif kind == "failed":
            # A new connection hears it again.
            raise RemoteError(f"{self._config.name} could not transcribe an utterance")

    def _start_of(self, item: str) -> int | None:
        for one in self._order:
            if one.id == item:
                return one.start_ms
        if item in self._times:
            return self._times[item][0]
        if self._order and self._server_turns:
            return None
        return self._commits[0].start_ms if self._commits else self._turns.since_ms

    def _settled(self) -> Iterable[Heard]:
        """In the order in which it was said, whatever the order in which it was transcribed."""
        while self._order and self._order[0].text is not None:
            one = self._order.popleft()
            text = (one.text or "").strip()
            if one.id is not None:
                self._done.append(one.id)
                yield FinalText(text, one.start_ms, one.end_ms) if text else Acknowledged(one.end_ms)
            if one.flush:
                yield Flushed()

    def _error(self, error: Any) -> Iterable[Heard]:
        code: Any = error.get("code") or error.get("type")
        name = self._config.name
        if code == "input_audio_buffer_commit_empty":
            flush = self._commits.popleft().flush if self._commits else False
            self._order.append(_Item(None, 0, 0, "", flush=flush))
            yield from self._settled()
        elif code in _KEY_CODES or error.get("type") == "authentication_error":
            raise RemoteError(f"{name} refused the key", blame="key")
        elif error.get("type") == "invalid_request_error" and code != "session_expired":
            raise RemoteError(f"{name} refused the request", blame="request")
        else:
            raise RemoteError(f"{name} failed")

    def _forget(self) -> None:
        """What a server began and never ended."""
        for kept in (self._texts, self._times, self._early):
            while len(kept) > 32:
                del kept[next(iter(kept))]


class _Turns:
    """Utterances by loudness, of all audio that was sent. Times are ms of it. ``ours``: they end where this says so;
    else it only knows what there was."""

    def __init__(self, *, ours: bool) -> None:
        self._ours = ours
        self._window = RATE_HZ * WINDOW_MS // 1000 * 2
        self._rest = b""
        self._gate = EnergyGate()
        self._endpointer = Endpointer()
        self._position = 0
        """Bytes that were judged."""
        self._base = 0
        """Where the endpointer began to count."""
        self._loud = 0
        """Windows with more than the line's noise in them, since the last end."""
        self._first = self._last = 0
        """Where the first of them begins, and the last ends."""
        self._begins: deque[int] = deque([0], maxlen=32)
        """When the last utterances began, in ms."""

    @property
    def since_ms(self) -> int:
        """The last beginning."""
        return self._begins[-1]

    def hear(self, pcm: bytes) -> Iterable[tuple[int, int]]:
        """Those that end in it."""
        data = self._rest + pcm
        size = self._window
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        for at in range(0, whole, size):
            level = audioop.rms(data[at : at + size], 2)
            loud = self._gate.open(level / 32768) and level > QUIET_RMS
            if loud:
                self._first = self._first if self._loud else self._position
                self._loud += 1
                self._last = self._position + size
            self._position += size
            step = self._endpointer.step(1.0 if loud else 0.0)
            if step is Step.STARTED:
                self._begins.append(_ms(self._base + self._endpointer.first * size))
            elif step in (Step.ENDED, Step.CUT) and self._ours:
                yield self.since_ms, max(self.since_ms, _ms(self._last))
                self._restart()

    def cut(self) -> tuple[int, int, bool]:
        """The utterance in progress ends here: from when to when, and whether there was anything."""
        speaking, loud = self._endpointer.speaking, self._loud >= FEWEST_LOUD
        start_ms = self.since_ms if speaking else _ms(self._first)
        end_ms = max(start_ms, _ms(self._last))
        self._position += len(self._rest)
        self._rest = b""
        self._restart()
        return start_ms, end_ms, loud

    def ended(self, at_ms: int) -> None:
        """Somebody else ended it there."""
        if _ms(self._last) <= at_ms + SILENCE_MS:
            self._restart()

    def near(self, padded_ms: int) -> int:
        """When the speech began that a server hears from ``padded_ms`` on, the padding included."""
        latest_ms = padded_ms + PADDING_MS
        near = (begun for begun in self._begins if padded_ms < begun <= latest_ms + LEAST_MS)
        return min(near, key=lambda begun: abs(begun - latest_ms), default=latest_ms)

    def _restart(self) -> None:
        self._endpointer = Endpointer()
        self._base = self._position
        self._loud = 0


def _ms(position: int) -> int:
    return position // 2 * 1000 // RATE_HZ


def _json(**document: Any) -> str:
    return msgspec.json.encode(document).decode()
