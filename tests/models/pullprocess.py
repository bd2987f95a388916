"""A pull in a process of its own, to be killed: ``python -m tests.models.pullprocess FOLDER MIRROR NAME…``.

The catalogue is the real one, the command line around it left out: it takes seconds to load.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.models.making import Told

from kallglot.models.catalogue import catalogue
from kallglot.models.errors import ModelsError
from kallglot.models.plan import resolve
from kallglot.models.pull import Wishes, pull
from kallglot.models.store import Store
from kallglot.models.transfer import Manners


def main() -> int:
    folder, mirror, *names = sys.argv[1:]
    wishes = Wishes(mirror=mirror, manners=Manners(smallest_part=1_000_000, save_after=100_000, first_wait=0.01))
    try:
        asyncio.run(pull(resolve(catalogue(), names), Store(Path(folder)), Told(), wishes))
    except ModelsError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
