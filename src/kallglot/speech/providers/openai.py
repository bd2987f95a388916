"""What the engines behind OpenAI's API have in common: addresses, keys, names of errors. vLLM, speaches, LocalAI,
Ollama, LiteLLM and others speak it too; their ``url`` ends like the hosted one's, in ``/v1``.

Source: https://developers.openai.com/api/reference
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kallglot.speech.languages import english_name
from kallglot.speech.remote.config import ProviderConfig
from kallglot.speech.remote.engine import RemoteEngine

PUBLIC_URL: Final = "https://api.openai.com/v1"

# The languages of Whisper, which the later models share.
LANGUAGES: Final = tuple(
    "af am ar as az ba be bg bn br bs ca cs cy da de el en es et eu fa fi fr gl gu haw he hi hr ht hu hy id is it "
    "ja ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk "
    "sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh".split()
)
_BY_NAME: Final = {english_name(code).lower(): code for code in LANGUAGES}


class OpenAIEngine(RemoteEngine):
    """The hosted service needs a key, and has a model to begin with; another server may want neither the one nor the
    other, but has to be told what its model is called."""

    default_model: str = ""

    def missing(self) -> str | None:
        if self.config.url is None and not self.config.api_key:
            return f"{self.name} needs an API key"
        if self.config.url is not None and not self.config.model:
            return f"{self.name} needs the name of a model"
        return None

    @property
    def model(self) -> str:
        return self.config.model or self.default_model

    def at(self, path: str) -> str:
        return f"{self.config.address(PUBLIC_URL)}{path}"

    def headers(self) -> dict[str, str]:
        return key_header(self.config)

    def reason(self, status: int, body: bytes) -> str | None:
        return code_of(body)


def key_header(config: ProviderConfig) -> dict[str, str]:
    return {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}


def code_of(body: bytes) -> str | None:
    """``model_not_found`` of ``{"error": {"code": "model_not_found"}}``."""
    try:
        error: Any = msgspec.json.decode(body)["error"]
        code: Any = error.get("code") or error.get("type")
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, RecursionError, UnicodeDecodeError):
        return None
    return code if isinstance(code, str) else None


def language_code(name: object) -> str | None:
    """Of a code or an English name, as ``german``: Whisper tells the latter."""
    if not isinstance(name, str):
        return None
    return name.lower() if name.lower() in LANGUAGES else _BY_NAME.get(name.lower())
