"""Azure's Translator 3.0 and speech synthesis over real sockets:
https://learn.microsoft.com/azure/ai-services/translator/text-translation/reference/v3/translate and
https://learn.microsoft.com/azure/ai-services/speech-service/rest-text-to-speech."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import spoken, translated
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

KEY = "0123456789abcdef0123456789abcdef"
REGION = "westeurope"
_DICTIONARY = re.compile(r'<mstrans:dictionary translation="([^"]*)">([^<]*)</mstrans:dictionary>')
_SPEAK = "{http://www.w3.org/2001/10/synthesis}"


class FakeAzure(FakeServer):
    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key

    def routes(self) -> None:
        self.route("POST", "/translate", self._translate)
        self.route("POST", "/cognitiveservices/v1", self._speak)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        said = f"The request is not authorized: {asked.headers.get('Ocp-Apim-Subscription-Key')}"
        body = {"error": {"code": fault.status * 1000, "message": said}}
        return web.json_response(body, status=fault.status, headers=dict(fault.headers))

    async def _translate(self, asked: Asked, request: web.Request) -> Reply:
        if asked.headers.get("Ocp-Apim-Subscription-Key") != self.key or (
            asked.headers.get("Ocp-Apim-Subscription-Region") != REGION
        ):
            return json_reply({"error": {"code": 401000, "message": "not authorized"}}, status=401)
        if asked.query.get("api-version") != "3.0" or not asked.query.get("to"):
            return json_reply({"error": {"code": 400021, "message": "The API version parameter"}}, status=400)
        answers: list[Any] = []
        for element in json.loads(asked.body):
            terms = {source: target for target, source in _DICTIONARY.findall(element["Text"])}
            text = translated(_DICTIONARY.sub(r"\2", element["Text"]), asked.query["to"])
            for source, target in terms.items():
                text = text.replace(source, target)
            answers.append({"translations": [{"text": text, "to": asked.query["to"]}]})
        return json_reply(answers)

    @property
    def spoken(self) -> list[tuple[str, str]]:
        """Voices and texts."""
        voices = [ElementTree.fromstring(asked.body).find(f"{_SPEAK}voice") for asked in self.asked]
        return [(voice.get("name", ""), "".join(voice.itertext())) for voice in voices if voice is not None]

    async def _speak(self, asked: Asked, request: web.Request) -> Reply:
        if asked.headers.get("Ocp-Apim-Subscription-Key") != self.key:
            return Reply([], status=401)
        if asked.headers.get("Content-Type") != "application/ssml+xml":
            return Reply([], status=415)
        form = re.fullmatch(r"raw-(\d+)(k?)hz-16bit-mono-pcm", asked.headers.get("X-Microsoft-OutputFormat", ""))
        voice = ElementTree.fromstring(asked.body).find(f"{_SPEAK}voice")
        if form is None or voice is None or "Neural" not in voice.get("name", ""):
            return Reply([], status=400)
        pcm = spoken("".join(voice.itertext()), int(form[1]) * (1000 if form[2] else 1))
        return Reply([pcm[at : at + 1023] for at in range(0, len(pcm), 1023)], "audio/basic")
