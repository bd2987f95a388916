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


def test_a_container_has_the_cores_that_its_share_of_time_is_worth(tmp_path: Path) -> None:
    everything = cores(tmp_path)
    for written, expected in (("max 100000", everything), ("100000 100000", 1), ("5000 100000", 1), ("x", everything)):
        (tmp_path / "cpu.max").write_text(written + "\n")
        assert cores(tmp_path) == expected


def test_what_a_download_left_in_the_cache_can_be_had(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{200 * MB}\n")
    (tmp_path / "memory.current").write_text(f"{190 * MB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {40 * MB}\nfile {150 * MB}\ninactive_file {120 * MB}\n")
    assert free_memory(tmp_path) == 130 * MB
