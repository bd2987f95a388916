"""The base of translators over HTTP: one request a text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import ClassVar, Final

import msgspec

from kallglot.speech import guards
from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError, unusable
from kallglot.speech.remote.exchange import Answer, Request
from kallglot.speech.remote.languages import pairs_of, served
from kallglot.speech.types import Hints

NOT_UNDERSTOOD: Final = (ValueError, LookupError, TypeError, AttributeError, msgspec.MsgspecError)
"""What reading an answer that is not as documented raises."""


class RemoteTranslator(RemoteEngine):
    """A vendor gives :meth:`request` and :meth:`read`."""

    default_languages: ClassVar[tuple[str, ...]] = ()
    most_characters: ClassVar[int] = 5000
    """Of one text; an utterance has a few hundred."""

    @property
    def languages(self) -> tuple[str, ...]:
        return served(self.config.languages, self.default_languages)

    @property
    def pairs(self) -> Collection[tuple[str, str]]:
        """Every language with every other; a vendor with less says so."""
        return pairs_of(self.languages)

    async def warm(self, source: str, target: str) -> None:
        """There is nothing that a request of its own would make ready."""

    async def translate(self, text: str, source: str, target: str, hints: Hints = Hints()) -> str:
        """Text without a letter or a digit is its own translation. Raises :class:`EngineError`."""
        if not guards.says_something(text):
            return text
        if len(text) > self.most_characters:
            what = f"a text of {len(text)} characters is too long; {self.most_characters} can be translated at once"
            raise RemoteError(f"{self.name}: {what}", blame="request")
        self.spending.spend_characters(len(text))
        answer = await self.ask(self.request(text, source, target, hints))
        try:
            translation = self.read(answer)
        except NOT_UNDERSTOOD:
            raise unusable(self.name, "the answer cannot be understood") from None
        if not isinstance(translation, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise unusable(self.name, "the answer cannot be understood")
        translation = self.tidy(text, translation)
        wrong = guards.trouble(text, translation)
        if wrong is not None:
            raise unusable(self.name, wrong)
        return translation

    def tidy(self, text: str, translation: str) -> str:
        """Takes off what does not belong to the translation."""
        return translation.strip()

    @abstractmethod
    def request(self, text: str, source: str, target: str, hints: Hints) -> Request:
        """Raises :class:`EngineError` for what the vendor cannot be asked."""

    @abstractmethod
    def read(self, answer: Answer) -> str:
        """Raises :class:`ValueError`, ``LookupError`` or ``TypeError`` for an answer that is not as documented."""
