import re
from typing import Any

from kallglot.legs import asyncapi


def test_every_reference_in_the_document_resolves() -> None:
    document = asyncapi.document("wss://voice.example.com", "1")
    assert document["servers"]["default"] == {"host": "voice.example.com", "protocol": "wss"}
    for reference in re.findall(r"'\$ref': '#/([^']+)'", str(document)):
        at: Any = document
        for part in reference.split("/"):
            at = at[part]
        assert at
    assert "AudioInput" in document["channels"]["stream"]["messages"]
    assert "TranscriptFinalOut" in document["channels"]["stream"]["messages"]
