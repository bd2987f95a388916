"""Where carriers reach us about connections and calls."""

from __future__ import annotations

from dataclasses import dataclass

from kallglot.carriers.model import Call, Carrier


@dataclass(frozen=True, slots=True)
class Addresses:
    """``base_url`` is the public https origin, ``stream_origin`` that of streams, wss."""

    base_url: str
    stream_origin: str

    def voice(self, carrier: Carrier, connection_id: str) -> str:
        return f"{self._of(carrier, connection_id)}/voice"

    def status(self, carrier: Carrier, connection_id: str) -> str:
        return f"{self._of(carrier, connection_id)}/status"

    def events(self, connection_id: str) -> str:
        """Of Telnyx's Call Control."""
        return f"{self._of('telnyx', connection_id)}/events"

    def stream_document(self, call: Call) -> str:
        """The document that brings the call's audio here, whenever it is asked for."""
        return self._call(call, "stream")

    def machine_detection(self, call: Call) -> str:
        return self._call(call, "amd")

    def transferred(self, call: Call) -> str:
        """What comes next when a transfer is over, or has failed."""
        return self._call(call, "transferred")

    def call_status(self, call: Call) -> str:
        return self._call(call, "status")

    def stream(self, session_id: str) -> str:
        return f"{self.stream_origin}/v1/sessions/{session_id}/connect"

    def _of(self, carrier: Carrier, connection_id: str) -> str:
        return f"{self.base_url}/v1/carriers/{carrier}/{connection_id}"

    def _call(self, call: Call, what: str) -> str:
        return f"{self._of(call.carrier, call.connection_id or '')}/calls/{call.id}/{what}"
