"""Refusals that are the key's fault though their status does not say so: nothing is asked until the operator helps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from kallglot.speech.remote.engine import RemoteEngine
from kallglot.speech.remote.errors import RemoteError
from kallglot.speech.remote.exchange import Request
from kallglot.speech.remote.http import Streamed


class KeyTrouble(RemoteEngine):
    @abstractmethod
    def key_trouble(self, error: RemoteError) -> str | None:
        """In words, what is the matter with the key or its account; None for any other trouble."""

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Streamed]:
        try:
            async with super().stream(request) as streamed:
                yield streamed
        except RemoteError as error:
            trouble = self.key_trouble(error) if error.blame == "request" else None
            if trouble is None:
                raise
            known = RemoteError(f"{self.name}: {trouble}", blame="key", status=error.status)
            self.breaker.failed(known)
            raise known from None
