"""Google's translation and speech over real sockets: https://cloud.google.com/translate/docs/reference/rest,
https://cloud.google.com/text-to-speech/docs/reference/rest/v1/text/synthesize, and the tokens for service accounts
(RFC 7523)."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.fakes.remote.plain import spoken, translated
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

from kallglot.speech.remote.audio import wav

KEY = "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY"
PROJECT = "my-project"


class FakeGoogle(FakeServer):
    """``token`` is the one that is good at the moment, ``tokens`` how many were given out."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.token = "ya29.first"
        self.tokens = 0
        self.wrong_rate_hz: int | None = None
        self.claims: list[dict[str, Any]] = []
        self._key: rsa.RSAPrivateKey | None = None

    def routes(self) -> None:
        self.route("POST", "/language/translate/v2", self._translate_v2)
        self.route("POST", "/v3/{parent:.+}:translateText", self._translate_v3)
        self.route("POST", "/v1/text:synthesize", self._speak)
        self.route("POST", "/token", self._give_token)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        key = asked.headers.get("X-Goog-Api-Key") or asked.headers.get("Authorization")
        status = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}.get(
            fault.status, "INTERNAL"
        )
        body = {"error": {"code": fault.status, "message": f"refused: {key}", "status": status}}
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    def key_file(self, key: rsa.RSAPrivateKey) -> str:
        """What is in the key file of a service account."""
        self._key = key
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "k1",
                "private_key": pem.decode(),
                "client_email": "kallglot@my-project.iam.gserviceaccount.com",
                "token_uri": f"{self.url}/token",
            }
        )

    async def _give_token(self, asked: Asked, request: web.Request) -> Reply:
        form = parse_qs(asked.body.decode())
        said, _, signature = form["assertion"][0].rpartition(".")
        assert self._key is not None
        self._key.public_key().verify(_decoded(signature), said.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.claims.append(json.loads(_decoded(said.split(".")[1])))
        self.tokens += 1
        self.token = f"ya29.{self.tokens}"
        return json_reply({"access_token": self.token, "expires_in": 3599, "token_type": "Bearer"})

    def _refused(self, asked: Asked, *, key: bool = True) -> Reply | None:
        if asked.headers.get("Authorization") == f"Bearer {self.token}":
            return None
        given = asked.headers.get("X-Goog-Api-Key")
        if given is None or not key:
            return _error(401, "UNAUTHENTICATED")
        return None if given == self.key else _error(400, "INVALID_ARGUMENT", "API_KEY_INVALID")

    async def _translate_v2(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        document = json.loads(asked.body)
        if document["format"] != "text":
            return _error(400, "INVALID_ARGUMENT")
        texts = [{"translatedText": translated(text, document["target"])} for text in document["q"]]
        return json_reply({"data": {"translations": texts}})

    async def _translate_v3(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked, key=False)) is not None:
            return refused
        if request.match_info["parent"] != f"projects/{PROJECT}/locations/global":
            return _error(403, "PERMISSION_DENIED")
        document = json.loads(asked.body)
        texts = [
            {"translatedText": translated(text, document["targetLanguageCode"]), "model": document.get("model", "")}
            for text in document["contents"]
        ]
        return json_reply({"translations": texts})

    async def _speak(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        document = json.loads(asked.body)
        text, audio = document["input"]["text"], document["audioConfig"]
        if (
            len(text.encode()) > 5000
            or audio["audioEncoding"] != "LINEAR16"
            or "-" not in document["voice"]["languageCode"]
        ):
            return _error(400, "INVALID_ARGUMENT")
        file = wav(spoken(text, audio["sampleRateHertz"]), self.wrong_rate_hz or audio["sampleRateHertz"])
        return json_reply({"audioContent": base64.b64encode(file).decode()})


def _error(code: int, status: str, reason: str | None = None) -> Reply:
    error: dict[str, Any] = {"code": code, "message": "API key not valid.", "status": status}
    if reason is not None:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return json_reply({"error": error}, status=code)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
