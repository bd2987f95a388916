from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.recording.conftest import s3_url

from kallglot.recording import shelf as shelves
from kallglot.recording.shelf import NotOnShelf, Shelf, ShelfError, open_shelf

KEY = "rec_01/audio.flac"
MIB = 1024 * 1024


@pytest.fixture(params=["folder", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "folder":
        return open_shelf(None, tmp_path / "recordings")
    request.getfixturevalue("credentials")
    return open_shelf(s3_url(request.getfixturevalue("s3_port")), tmp_path / "unused")


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A server that sends ``answer`` to whatever is asked and hangs up; with None it only listens. Gives its port."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.recv(65536)
                    if answer is None:
                        held.append(connection)
                        continue
                    with connection:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()
        thread.join(5)


@pytest.mark.parametrize("size", [0, 1, 20 * MIB + 7])
async def test_a_file_comes_back_as_it_was(shelf: Shelf, tmp_path: Path, size: int) -> None:
    audio = os.urandom(size)
    (tmp_path / "made.flac").write_bytes(audio)
    await shelf.put(KEY, tmp_path / "made.flac")
    assert await shelf.size(KEY) == size
    (tmp_path / "there").mkdir()
    await shelf.fetch(KEY, tmp_path / "there" / "audio.flac")
    assert [one.name for one in (tmp_path / "there").iterdir()] == ["audio.flac"]
    fetched = (tmp_path / "there" / "audio.flac").read_bytes()
    assert hashlib.sha256(fetched).digest() == hashlib.sha256(audio).digest()
    assert (tmp_path / "made.flac").exists()
    await shelf.delete(KEY)


async def test_a_later_file_replaces_the_earlier(shelf: Shelf, tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "made").write_text(text)
        await shelf.put(KEY, tmp_path / "made")
    await shelf.fetch(KEY, tmp_path / "got")
    assert (tmp_path / "got").read_text() == "second"
    await shelf.delete(KEY)


async def test_what_is_not_there(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotOnShelf):
        await shelf.fetch("rec_none/audio.flac", tmp_path / "empty" / "got")
    with pytest.raises(NotOnShelf):
        await shelf.size("rec_none/audio.flac")
    assert not list((tmp_path / "empty").iterdir())
    assert shelf.local("rec_none/audio.flac") is None


async def test_deleting_twice(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "made").write_text("audio")
    await shelf.put(KEY, tmp_path / "made")
    await shelf.delete(KEY)
    await shelf.delete(KEY)
    with pytest.raises(NotOnShelf):
        await shelf.size(KEY)


async def test_a_file_that_is_missing_here(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ShelfError, match="no file"):
        await shelf.put(KEY, tmp_path / "missing")
    with pytest.raises(NotOnShelf):
        await shelf.size(KEY)


async def test_a_fetch_into_a_missing_folder(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "made").write_text("audio")
    await shelf.put(KEY, tmp_path / "made")
    with pytest.raises(ShelfError) as raised:
        await shelf.fetch(KEY, tmp_path / "nowhere" / "got")
    assert not isinstance(raised.value, NotOnShelf)
    await shelf.delete(KEY)


async def test_check(shelf: Shelf) -> None:
    await shelf.check()
    with pytest.raises(NotOnShelf):
        await shelf.size(shelves.CHECK_KEY)


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../secret", "rec/../../secret", "rec//audio", "rec/.", ".hidden", "rec/a b", "a\\b", "a\0"],
)
async def test_keys_that_lead_elsewhere(shelf: Shelf, tmp_path: Path, key: str) -> None:
    (tmp_path / "made").write_text("audio")
    with pytest.raises(ShelfError, match="expected a key"):
        await shelf.put(key, tmp_path / "made")
    with pytest.raises(ShelfError, match="expected a key"):
        await shelf.fetch(key, tmp_path / "got")
    with pytest.raises(ShelfError, match="expected a key"):
        await shelf.delete(key)
    with pytest.raises(ShelfError, match="expected a key"):
        shelf.local(key)


async def test_a_folder_serves_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("audio")
    shelf = open_shelf((tmp_path / "a shelf").as_uri(), tmp_path / "unused")
    await shelf.put(KEY, tmp_path / "made")
    assert shelf.local(KEY) == (tmp_path / "a shelf").resolve() / KEY
    assert (tmp_path / "a shelf" / KEY).read_text() == "audio"
    assert not (tmp_path / "unused").exists()
    await shelf.delete(KEY)
    assert not list((tmp_path / "a shelf").iterdir()), "no empty folders stay behind"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShelfError, match="cannot be opened"):
        open_shelf(None, tmp_path / "file" / "recordings")


async def test_a_folder_that_has_gone(tmp_path: Path) -> None:
    shelf = open_shelf(None, tmp_path / "recordings")
    (tmp_path / "recordings").rmdir()
    (tmp_path / "recordings").write_text("in the way")
    with pytest.raises(ShelfError, match="cannot be written"):
        await shelf.check()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "ftp://host/folder",
        "s3:///prefix",
        "file://host/folder",
        "s3://calls?region",
        "s3://calls?no_such_option=1",
        "s3://calls?timeout=soon",
        "http://[",
    ],
)
def test_urls_that_are_no_shelf(tmp_path: Path, url: str) -> None:
    with pytest.raises(ShelfError):
        open_shelf(url, tmp_path)


def test_other_stores_open(tmp_path: Path) -> None:
    assert open_shelf("gs://calls/office", tmp_path).name == "gs://calls/office"
    assert open_shelf("az://calls/office?account_name=acme", tmp_path).name == "az://calls/office"


@pytest.mark.usefixtures("credentials")
def test_client_options_in_the_url(tmp_path: Path) -> None:
    flags = ("allow_http", "allow_invalid_certificates", "http1_only", "randomize_addresses")
    options = "&".join(
        [*(f"{flag}=true" for flag in flags), "timeout=9s", "pool_idle_timeout=9s", "user_agent=kallglot"]
    )
    open_shelf(f"s3://calls?{options}", tmp_path)


@pytest.mark.usefixtures("credentials")
async def test_the_environment_configures_it(s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(ShelfError, match="allow_http"):
        await open_shelf("s3://calls", tmp_path).check()
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    await open_shelf("s3://calls", tmp_path).check()


@pytest.mark.usefixtures("credentials")
async def test_a_bucket_that_is_not_there(s3_port: int, tmp_path: Path) -> None:
    shelf = open_shelf(s3_url(s3_port, "elsewhere"), tmp_path)
    with pytest.raises(ShelfError, match="s3://elsewhere/office cannot be written: the store answers NoSuchBucket"):
        await shelf.check()
    with pytest.raises(ShelfError, match="NoSuchBucket") as raised:
        await shelf.fetch(KEY, tmp_path / "got")
    assert not isinstance(raised.value, NotOnShelf)


@pytest.mark.usefixtures("credentials")
async def test_secrets_stay_out_of_messages(free_port: int, tmp_path: Path) -> None:
    shelf = open_shelf(s3_url(free_port, more="&secret_access_key=hunter2"), tmp_path)
    with pytest.raises(ShelfError) as raised:
        await shelf.check()
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_no_credentials(credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    begun = time.monotonic()
    with pytest.raises(ShelfError, match="there are no credentials"):
        await open_shelf("s3://calls?region=us-east-1", tmp_path).check()
    assert time.monotonic() - begun < 20


@pytest.mark.usefixtures("credentials")
async def test_a_store_that_is_down(free_port: int, tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(bytes(12 * MIB))
    shelf = open_shelf(s3_url(free_port), tmp_path)
    begun = time.monotonic()
    for call in (shelf.put(KEY, tmp_path / "made"), shelf.size(KEY), shelf.delete(KEY), shelf.check()):
        with pytest.raises(ShelfError, match="does not answer"):
            await call
    assert time.monotonic() - begun < 20


@pytest.mark.usefixtures("credentials")
async def test_a_store_that_never_answers(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"audio")
    with answering(None) as port:
        shelf = open_shelf(s3_url(port, more="&read_timeout=200ms"), tmp_path)
        begun = time.monotonic()
        with pytest.raises(ShelfError):
            await shelf.put(KEY, tmp_path / "made")
        with pytest.raises(ShelfError):
            await shelf.fetch(KEY, tmp_path / "got")
        assert time.monotonic() - begun < 20


@pytest.mark.usefixtures("credentials")
async def test_a_deadline_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "SHORT_SECONDS", 0.2)
    with answering(None) as port:
        shelf = open_shelf(s3_url(port), tmp_path)
        with pytest.raises(ShelfError, match="does not answer"):
            await shelf.check()


@pytest.mark.usefixtures("credentials")
async def test_a_download_cut_short_leaves_nothing(tmp_path: Path) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
        b'ETag: "one"\r\nConnection: close\r\n\r\n'
    )
    (tmp_path / "got").mkdir()
    with answering(head + bytes(3 * MIB)) as port:
        shelf = open_shelf(s3_url(port), tmp_path)
        begun = time.monotonic()
        with pytest.raises(ShelfError, match="cannot be read"):
            await shelf.fetch(KEY, tmp_path / "got" / "audio.flac")
    assert time.monotonic() - begun < 20
    assert not list((tmp_path / "got").iterdir())
