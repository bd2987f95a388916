from pathlib import Path

import pytest

from kallglot.speech.engines.resources import Share, cores, free_memory, share, size_of

MB, GB = 1_000_000, 1_000_000_000


@pytest.mark.parametrize(
    ("size", "models", "on", "free", "asked", "expected"),
    [
        (45 * MB, 1, 8, 16 * GB, 0, Share(8, 1)),
        (45 * MB, 2, 8, 16 * GB, 0, Share(4, 1)),
        (45 * MB, 20, 8, 16 * GB, 0, Share(1, 1)),
        (45 * MB, 1, 64, 2 * GB, 0, Share(5, 1)),
        (45 * MB, 1, 8, 16 * GB, 3, Share(3, 1)),
        (640 * MB, 1, 2, 16 * GB, 0, Share(1, 2)),
        (640 * MB, 1, 16, 16 * GB, 0, Share(4, 4)),
        (640 * MB, 1, 16, 3 * GB, 0, Share(1, 4)),
        (640 * MB, 1, 16, 0, 0, Share(1, 4)),
        (640 * MB, 1, 4, 16 * GB, 8, Share(8, 1)),
        (0, 0, 1, 0, 0, Share(1, 1)),
    ],
)
def test_a_model_gets_its_share_of_the_machine(
    size: int, models: int, on: int, free: int, asked: int, expected: Share
) -> None:
    assert share(size, models=models, cores=on, free_bytes=free, asked=asked) == expected


def test_this_machine_has_something_to_share(tmp_path: Path) -> None:
    assert cores() >= 1
    assert free_memory() > 0
    (tmp_path / "model").write_bytes(bytes(1000))
    assert size_of([str(tmp_path / "model"), str(tmp_path / "gone"), str(tmp_path)]) == 1000
