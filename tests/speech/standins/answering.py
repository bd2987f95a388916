"""A child for the tests of ``kallglot.speech.requests``, run as a script: it does what its requests say.

Its first argument is a folder: ``broken`` in it keeps it from getting ready, ``exit`` ends it while it loads.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kallglot.speech.request_worker import Job, Refused, main

FOLDER = Path(sys.argv[1])


class Answering:
    def __init__(self) -> None:
        print("libraries print", flush=True)
        if (FOLDER / "broken").exists():
            raise Refused("the files are of no use")
        if (FOLDER / "exit").exists():
            print("Bad model: giving up", file=sys.stderr, flush=True)
            os._exit(255)

    def about(self) -> Any:
        return {"pid": os.getpid()}

    def choose(self, waiting: Sequence[Job]) -> list[Job]:
        return list(waiting)

    def perform(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._do(job, len(jobs)) for job in jobs]

    def _do(self, job: Job, together: int) -> Any:
        with (FOLDER / "done").open("a") as done:
            done.write(f"{job.payload}\n")
        match job.payload:
            case ["die"]:
                os._exit(3)
            case ["refuse"]:
                return Refused("not this")
            case ["wait", name]:
                while not (FOLDER / name).exists() and not job.cancelled:
                    time.sleep(0.005)
                return "waited"
            case ["hang"]:
                time.sleep(600)
                return "never"
            case ["large"]:
                return b"\0" * (1 << 23)
            case payload:
                return [payload, together]


if __name__ == "__main__":
    main(Answering)
