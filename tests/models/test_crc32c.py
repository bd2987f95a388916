"""CRC-32C: known answers, and one bit at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models.making import noise

from kallglot.models.crc32c import crc32c_of


def bit_by_bit(content: bytes) -> str:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return f"{crc ^ 0xFFFFFFFF:08x}"


# The check value of the catalogue of parametrised CRCs, and those of RFC 3720, appendix B.4, in the order of a number.
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "00000000"),
        (b"123456789", "e3069283"),
        (bytes(32), "8a9136aa"),
        (b"\xff" * 32, "62a8ab43"),
        (bytes(range(32)), "46dd794e"),
    ],
)
def test_known_answers(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert crc32c_of(tmp_path / "a") == expected


@pytest.mark.parametrize("size", [4095, 4096, 4097, 50_001, 131_072])
def test_sizes_around_those_it_works_in(tmp_path: Path, size: int) -> None:
    content = noise(size)
    (tmp_path / "a").write_bytes(content)
    assert crc32c_of(tmp_path / "a") == bit_by_bit(content)


def test_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = noise(60_000)
    (tmp_path / "a").write_bytes(content)
    monkeypatch.setattr("kallglot.models.crc32c._BLOCK", 16_384)
    assert crc32c_of(tmp_path / "a") == bit_by_bit(content)
