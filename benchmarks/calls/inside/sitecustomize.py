"""Within the measured server, where the benchmark puts this folder on its path: where its processor time goes.

``KALLGLOT_BENCHMARK_INSIDE`` names a file of three doubles: seconds of garbage collection, collections, and whether
stacks are to be counted: 1 from the moment at which the benchmark writes it, 2 until they are to be written to the file
beside it (``.stacks``), which 3 says is done. A stack is taken after every few milliseconds of processor time
(ITIMER_PROF), when the interpreter gets to it: one at the very beginning of what the event loop calls is the loop's and
the kernel's."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import struct
import time
from collections import Counter
from dis import opmap
from types import FrameType

INTERVAL_S = 0.005
_path = os.environ.pop("KALLGLOT_BENCHMARK_INSIDE", None)
if _path:
    with open(_path, "r+b") as _file:
        _shared = mmap.mmap(_file.fileno(), 24)
    _pid = os.getpid()
    _began = 0.0
    _spent = [0.0, 0.0]
    _stacks: Counter[str] = Counter()
    _RESUME = opmap["RESUME"]

    def _collecting(phase: str, _told: dict[str, int]) -> None:
        global _began
        if phase == "start":
            _began = time.perf_counter()
        elif os.getpid() == _pid:
            _spent[0] += time.perf_counter() - _began
            _spent[1] += 1
            struct.pack_into("dd", _shared, 0, *_spent)

    def _sample(_signum: int, frame: FrameType | None) -> None:
        [wanted] = struct.unpack_from("d", _shared, 16)
        if wanted == 1.0 and frame is not None:
            _stacks[_stack(frame)] += 1
        elif wanted == 2.0:
            with open(f"{_path}.stacks", "w", encoding="utf-8") as out:
                out.writelines(f"{stack} {count}\n" for stack, count in _stacks.items())
            struct.pack_into("d", _shared, 16, 3.0)

    def _stack(frame: FrameType) -> str:
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename.endswith("asyncio/runners.py"):
            at = frame.f_lasti
            if at >= 0 and frame.f_code.co_code[at] == _RESUME:
                frame = caller
        shown: list[str] = []
        one: FrameType | None = frame
        while one is not None:
            shown.append(f"{one.f_code.co_qualname} ({one.f_code.co_filename}:{one.f_lineno})".replace(";", ","))
            one = one.f_back
        return ";".join(["MainThread", *reversed(shown)])

    gc.callbacks.append(_collecting)
    signal.signal(signal.SIGPROF, _sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
