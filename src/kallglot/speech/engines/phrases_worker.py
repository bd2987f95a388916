"""The child process that listens for phrases: what recognises speech, with phrases for a model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading

from kallglot.speech.engines.phrase_model import PhraseModel
from kallglot.speech.engines.recognition_worker import Worker
from kallglot.speech.engines.silero import Silero, model_file


async def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)
    vad = model_file()
    if vad is None:
        raise SystemExit("the voice activity model is missing")
    try:
        model = PhraseModel()
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await Worker(model, Silero(vad), out).run(reader)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main())
    if threading.active_count() > 1:
        os._exit(0)
