from __future__ import annotations

import numpy as np

from kallglot.audio.ducking import ATTACK_MS, DUCKED_DB, RELEASE_MS, Ducker

FRAME = b"\x00\x20" * 160


def level_db(pcm: bytes) -> float:
    return float(20 * np.log10(np.frombuffer(pcm, "<i2")[-1] / 0x2000))


def test_at_full_level_nothing_is_touched() -> None:
    ducker = Ducker()
    assert ducker.process(FRAME, False) is FRAME
    assert ducker.at_rest


def test_down_in_the_attack_and_up_in_the_release() -> None:
    ducker = Ducker()
    down = [ducker.process(FRAME, True) for _ in range(ATTACK_MS // 20 + 5)]
    assert level_db(down[ATTACK_MS // 20 - 1]) == level_db(down[-1])
    assert abs(level_db(down[-1]) - DUCKED_DB) < 0.1
    up = [ducker.process(FRAME, False) for _ in range(RELEASE_MS // 20)]
    assert up[-2] != FRAME
    assert ducker.at_rest
    assert ducker.process(FRAME, False) == FRAME


def test_no_step_that_could_be_heard() -> None:
    ducker = Ducker()
    over = [False] * 3 + [True] * 10 + [False] * 30
    joined = np.frombuffer(b"".join(ducker.process(FRAME, one) for one in over), "<i2").astype(int)
    assert np.abs(np.diff(joined)).max() < 0x2000 * 0.02
