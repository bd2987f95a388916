"""DeepL's text interface over real sockets: https://developers.deepl.com/api-reference/translate and
https://developers.deepl.com/api-reference/multilingual-glossaries."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from tests.fakes.remote.plain import translated
from tests.fakes.remote.server import Asked, FakeServer, Fault, Reply, json_reply

KEY = "279a2e9d-83b3-c416-7e2d-f721593e42a0"
TARGETS = frozenset(
    "AR BG CS DA DE EL EN-GB EN-US ES ES-419 ET FI FR HE HU ID IT JA KO LT LV NB NL PL PT-BR PT-PT RO RU SK SL SV TH TR"
    " UK VI ZH ZH-HANS ZH-HANT".split()
)
SOURCES = frozenset(target.split("-")[0] for target in TARGETS)


class FakeDeepl(FakeServer):
    """``most_glossaries`` is what the plan allows."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.glossaries: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.most_glossaries = 1000
        self.characters = 0

    def routes(self) -> None:
        self.route("POST", "/v2/translate", self._translate)
        self.route("POST", "/v3/glossaries", self._make)
        self.route("GET", "/v3/glossaries", self._list)
        self.route("DELETE", "/v3/glossaries/{id}", self._delete)

    def refusal(self, fault: Fault, asked: Asked) -> web.Response:
        key = asked.headers.get("Authorization", "")
        said = {456: "Quota Exceeded", 429: "Too many requests"}.get(fault.status, f"Forbidden: {key}")
        return web.json_response({"message": said}, status=fault.status, headers=dict(fault.headers))

    @property
    def translations(self) -> list[dict[str, Any]]:
        """Bodies of the translations that were asked for."""
        return [json.loads(asked.body) for asked in self.asked if asked.path == "/v2/translate"]

    async def _translate(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        document = json.loads(asked.body)
        if len(asked.body) > 128 * 1024:
            return json_reply({"message": "Payload too large"}, status=413)
        if document["target_lang"] not in TARGETS or document["source_lang"] not in SOURCES:
            return json_reply({"message": "Value for 'target_lang' not supported."}, status=400)
        texts = [translated(text, document["target_lang"]) for text in document["text"]]
        glossary_id = document.get("glossary_id")
        if glossary_id is not None:
            if glossary_id not in self.glossaries:
                return json_reply({"message": "Glossary not found"}, status=404)
            texts = [self._with_terms(glossary_id, text) for text in texts]
        self.characters += sum(len(text) for text in document["text"])
        translations: list[dict[str, Any]] = [
            {"detected_source_language": document["source_lang"], "text": text} for text in texts
        ]
        if document.get("show_billed_characters"):
            for translation, text in zip(translations, document["text"], strict=True):
                translation["billed_characters"] = len(text)
        return json_reply({"translations": translations})

    def _with_terms(self, glossary_id: str, text: str) -> str:
        for line in self.glossaries[glossary_id]["entries"].split("\n"):
            source, target = line.split("\t")
            text = text.replace(source, target)
        return text

    async def _make(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        if len(self.glossaries) >= self.most_glossaries:
            return json_reply({"message": "Quota exceeded", "detail": "glossary count"}, status=456)
        document = json.loads(asked.body)
        [dictionary] = document["dictionaries"]
        if dictionary["entries_format"] != "tsv" or dictionary["source_lang"] == dictionary["target_lang"]:
            return json_reply({"message": "Bad request"}, status=400)
        entries = [line.split("\t") for line in dictionary["entries"].split("\n")]
        if any(len(entry) != 2 or not all(entry) for entry in entries) or len({e[0] for e in entries}) < len(entries):
            return json_reply({"message": "Bad request", "detail": "Invalid glossary entries provided"}, status=400)
        self.made += 1
        glossary_id = f"def3a26b-3e84-45b3-84ae-{self.made:012d}"
        self.glossaries[glossary_id] = {"name": document["name"], **dictionary}
        return json_reply(self._described(glossary_id), status=201)

    async def _list(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        return json_reply({"glossaries": [self._described(glossary_id) for glossary_id in self.glossaries]})

    async def _delete(self, asked: Asked, request: web.Request) -> Reply:
        if (refused := self._refused(asked)) is not None:
            return refused
        if self.glossaries.pop(request.match_info["id"], None) is None:
            return json_reply({"message": "Glossary not found"}, status=404)
        return Reply([], status=204)

    def _described(self, glossary_id: str) -> dict[str, Any]:
        glossary = self.glossaries[glossary_id]
        return {
            "glossary_id": glossary_id,
            "ready": True,
            "name": glossary["name"],
            "dictionaries": [
                {
                    "source_lang": glossary["source_lang"],
                    "target_lang": glossary["target_lang"],
                    "entry_count": glossary["entries"].count("\n") + 1,
                }
            ],
            "creation_time": "2025-08-03T14:16:18.329Z",
        }

    def _refused(self, asked: Asked) -> Reply | None:
        if asked.headers.get("Authorization") != f"DeepL-Auth-Key {self.key}":
            return json_reply({"message": "Forbidden"}, status=403)
        return None
