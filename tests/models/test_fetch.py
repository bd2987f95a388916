"""Fetching from a server that does what servers do on bad days."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.making import Told, noise, remote, sha
from tests.models.serving import Fault, FileServer
from tests.waiting import until

from kallglot.models.catalogue import Remote
from kallglot.models.crc32c import crc32c_of
from kallglot.models.errors import DownloadError, WrongContent
from kallglot.models.fetch import Fetcher, client
from kallglot.models.partial import places, read_journal
from kallglot.models.transfer import Manners

SIZE = 400_000
CONTENT = noise(SIZE)
MANNERS = Manners(smallest_part=100_000, save_after=32_768, timeout=20, first_wait=1, tries=4)


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with FileServer({"/a.bin": CONTENT}) as running:
        yield running


class Pauses:
    """Waits for nothing, and remembers for how long it would have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def fetching(
    folder: Path, manners: Manners = MANNERS, **more: object
) -> AsyncIterator[tuple[Fetcher, Told, Pauses]]:
    told, pauses = Told(), Pauses()
    async with client(manners, "test") as connections:
        yield Fetcher(connections, folder, told, manners=manners, sleep=pauses, luck=lambda: 1.0, **more), told, pauses  # type: ignore[arg-type]


async def fetch(
    server: FileServer, folder: Path, *, manners: Manners = MANNERS, **known: bool
) -> tuple[bytes, Told, Pauses]:
    wanted = remote(server.url + "/a.bin", "a.bin", CONTENT, **known)  # type: ignore[arg-type]
    async with fetching(folder, manners) as (fetcher, told, pauses):
        fetched = await fetcher.fetch(wanted, wanted.sha256)
        content = fetched.path.read_bytes()
        assert fetched.size == len(content)
        assert fetched.sha256 == sha(content)
        return content, told, pauses


async def test_a_large_file_comes_in_parts_at_once(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), *[Fault(hold_after=10)] * 4]
    task = asyncio.create_task(fetch(server, tmp_path))
    await until(lambda: len(server.asked) == 5)
    server.gate.set()
    content, told, _ = await task
    assert content == CONTENT
    assert sorted(one.first for one in server.asked) == [0, 0, 100_000, 200_000, 300_000]
    assert told.done[server.url + "/a.bin"] == SIZE
    assert all(one.headers["accept-encoding"] == "identity" for one in server.asked)


async def test_a_small_file_comes_with_one_request(server: FileServer, tmp_path: Path) -> None:
    content, _, _ = await fetch(server, tmp_path, manners=Manners())
    assert content == CONTENT
    assert len(server.asked) == 1


async def test_never_more_connections_than_allowed(server: FileServer, tmp_path: Path) -> None:
    await fetch(server, tmp_path, manners=Manners(connections=2, smallest_part=50_000))
    assert server.most_at_once <= 2
    server.most_at_once = 0
    await fetch(server, tmp_path / "b", manners=Manners(connections=1, smallest_part=50_000))
    assert server.most_at_once == 1


async def test_a_size_that_nobody_knows_is_found_out(server: FileServer, tmp_path: Path) -> None:
    content, _, _ = await fetch(server, tmp_path, size=False, checksum=False)
    assert content == CONTENT
    assert len(server.asked) == 5


@pytest.mark.parametrize("known", [True, False])
async def test_ranges_ignored(server: FileServer, tmp_path: Path, known: bool) -> None:
    server.ranges = False
    content, _, _ = await fetch(server, tmp_path, size=known, checksum=known)
    assert content == CONTENT
    assert len(server.asked) == 1


async def test_ranges_ignored_and_cut_off_begins_anew(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.faults["/a.bin"] += [Fault(cut_after=300_000), Fault(cut_after=100)]
    content, told, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    broke, (_, refused) = told.waits
    assert broke[1].startswith("the connection broke (")
    assert refused == "the server no longer sends parts"


async def test_a_small_file_that_is_cut_off_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    """One that is not worth asking first whether it comes in parts."""
    server.faults["/a.bin"] += [Fault(cut_after=150_000), Fault(cut_after=70_000)]
    content, _, _ = await fetch(server, tmp_path, manners=Manners(smallest_part=SIZE, first_wait=1))
    assert content == CONTENT
    assert [one.first for one in server.asked] == [0, 150_000, 220_000]
    assert server.sent == SIZE, "nothing came twice"


async def test_a_small_file_goes_on_in_another_process(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"].append(Fault(hold_after=150_000))
    manners = Manners(smallest_part=SIZE)
    wanted = remote(server.url + "/a.bin", "a.bin", CONTENT, checksum=False)
    arrived = asyncio.Event()
    async with fetching(tmp_path, manners) as (fetcher, told, _):
        progress = told.progress

        def watch(one: Remote, done: int, total: int | None) -> None:
            progress(one, done, total)
            if done == 150_000:
                arrived.set()

        told.progress = watch  # type: ignore[method-assign]
        first = asyncio.create_task(fetcher.fetch(wanted, None))
        await arrived.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    content, _, _ = await fetch(server, tmp_path, manners=manners, checksum=False)
    assert content == CONTENT
    assert server.asked[-1].first == 150_000


async def test_cut_off_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    manners = Manners(connections=1, smallest_part=SIZE // 2, first_wait=1)
    server.faults["/a.bin"] += [Fault(), Fault(cut_after=120_000), Fault(), Fault(cut_after=70_000)]
    content, told, _ = await fetch(server, tmp_path, manners=manners)
    assert content == CONTENT
    assert server.sent == SIZE + 1, "nothing came twice"
    assert told.waits
    assert all("if-range" in one.headers for one in server.asked[1:])


async def test_a_server_that_cuts_off_all_the_time_still_gives_everything(server: FileServer, tmp_path: Path) -> None:
    server.always["/a.bin"] = Fault(cut_after=66_000)
    server.faults["/a.bin"].append(Fault())
    content, _, pauses = await fetch(server, tmp_path)
    assert content == CONTENT
    assert max(pauses.seconds) == 1, "each try got on, so no wait grew"


async def test_random_cuts(server: FileServer, tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(6):
        cuts = [Fault(cut_after=chance.randrange(1, 90_000)) for _ in range(chance.randrange(12))]
        server.faults["/a.bin"].extend([Fault(), *cuts])
        content, _, _ = await fetch(server, tmp_path / str(number), manners=Manners(smallest_part=100_000, tries=50))
        assert content == CONTENT


async def test_giving_up_says_why_and_keeps_what_there_is(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault()]
    server.always["/a.bin"] = Fault(cut_after=50)
    with pytest.raises(DownloadError, match=r"could not be fetched in 4 tries: the connection broke"):
        await fetch(server, tmp_path)
    journal = read_journal(tmp_path, server.url + "/a.bin")
    assert journal is not None
    assert journal.done == 4 * 4 * 50


async def test_goes_on_in_another_process(server: FileServer, tmp_path: Path) -> None:
    """Without asking anew how long the file is."""
    server.faults["/a.bin"] += [Fault(), *[Fault(cut_after=90_000)] * 4, *[Fault(status=500)] * 12]
    with pytest.raises(DownloadError, match="answers 500"):
        await fetch(server, tmp_path)
    server.asked.clear()
    server.faults.clear()
    content, _, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert sorted(one.first for one in server.asked) == [90_000, 190_000, 290_000, 390_000]


async def test_what_changed_meanwhile_is_fetched_from_the_start(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), *[Fault(cut_after=90_000)] * 4, *[Fault(status=500)] * 12]
    with pytest.raises(DownloadError):
        await fetch(server, tmp_path, checksum=False)
    server.faults.clear()
    other = server.files["/a.bin"] = noise(SIZE, seed=2)
    content, told, _ = await fetch(server, tmp_path, checksum=False)
    assert content == other
    assert told.waits[0][1] == "the file has changed on the server"


async def test_what_is_whole_since_an_earlier_try_is_looked_at_once_more(server: FileServer, tmp_path: Path) -> None:
    """Where no checksum is known: other files of the model may be newer by now."""
    await fetch(server, tmp_path, checksum=False)
    server.asked.clear()
    assert (await fetch(server, tmp_path, checksum=False))[0] == CONTENT
    assert [one.headers["range"] for one in server.asked] == ["bytes=0-0"]
    other = server.files["/a.bin"] = noise(SIZE, seed=4)
    server.faults["/a.bin"] += [Fault(status=500)]
    assert (await fetch(server, tmp_path, checksum=False))[0] == other


async def test_what_is_whole_and_known_is_not_asked_for(server: FileServer, tmp_path: Path) -> None:
    await fetch(server, tmp_path)
    server.asked.clear()
    assert (await fetch(server, tmp_path))[0] == CONTENT
    assert not server.asked


async def test_changes_while_it_is_fetched(server: FileServer, tmp_path: Path) -> None:
    """Parts of two versions never become one file, not even where no checksum is known."""
    server.faults["/a.bin"] += [Fault(), Fault(cut_after=10), *[Fault(hold_after=10)] * 3]
    task = asyncio.create_task(fetch(server, tmp_path, checksum=False))
    await until(lambda: len(server.asked) == 5)
    other = server.files["/a.bin"] = noise(SIZE, seed=3)
    server.gate.set()
    content, told, _ = await task
    assert content == other
    assert told.waits[-1][1] == "the file has changed on the server"


async def test_without_validator_and_checksum_nothing_is_patched_together(server: FileServer, tmp_path: Path) -> None:
    server.validators = False
    server.faults["/a.bin"] += [Fault(), Fault(cut_after=300_000)]
    content, _, _ = await fetch(server, tmp_path, checksum=False)
    assert content == CONTENT
    assert [one.first for one in server.asked] == [0, 0, 0, 0]


async def test_a_weak_validator_is_none(server: FileServer, tmp_path: Path) -> None:
    server.weak = True
    content, _, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert not any("if-range" in one.headers for one in server.asked)


async def test_wrong_bytes_are_fetched_once_more_and_then_refused(server: FileServer, tmp_path: Path) -> None:
    server.always["/a.bin"] = Fault(garbled=True)
    with pytest.raises(WrongContent, match=f"should be {sha(CONTENT)}"):
        await fetch(server, tmp_path)
    whole = [one for one in server.asked if "range" not in one.headers]
    assert len(whole) == 1, "the second time in one piece"
    assert read_journal(tmp_path, server.url + "/a.bin") is None


async def test_a_part_with_wrong_bytes_is_healed(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), Fault(), Fault(garbled=True)]
    content, told, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert any("damaged" in note for note in told.notes)


async def test_a_part_from_another_place_is_not_taken(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), Fault(first=7)]
    content, told, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert "other bytes" in told.waits[0][1]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(told_length=-1000), "has 399000 bytes, the catalogue says 400000"),
        (Fault(told_length=1000), "has 401000 bytes, the catalogue says 400000"),
        (Fault(headers={"Content-Encoding": "gzip"}), "in the encoding gzip"),
    ],
)
async def test_lies_about_a_whole_file(server: FileServer, tmp_path: Path, fault: Fault, why: str) -> None:
    server.always["/a.bin"] = fault
    server.ranges = False
    with pytest.raises(DownloadError, match=why):
        await fetch(server, tmp_path)


async def test_promises_more_than_it_has(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.always["/a.bin"] = Fault(told_length=1000, cut_after=SIZE)
    with pytest.raises(DownloadError, match="the connection broke"):
        await fetch(server, tmp_path, size=False, checksum=False)


async def test_a_part_that_says_it_is_shorter_is_completed(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), Fault(told_length=-40_000)]
    content, _, _ = await fetch(server, tmp_path)
    assert content == CONTENT


async def test_a_part_that_is_longer_than_asked_for(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), Fault(longer=1000)]
    content, told, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert told.waits[0][1] == "the server sends more than it was asked for"


async def test_an_endless_body(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.files["/a.bin"] = CONTENT + b"more"
    server.always["/a.bin"] = Fault(chunked=True)
    with pytest.raises(DownloadError, match="longer than the 400000 bytes"):
        await fetch(server, tmp_path)
    with pytest.raises(DownloadError, match="longer than the 1000 bytes"):
        await fetch(server, tmp_path, manners=Manners(largest=1000), size=False, checksum=False)


async def test_a_length_that_only_the_end_tells(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.always["/a.bin"] = Fault(chunked=True)
    assert (await fetch(server, tmp_path / "1", size=False, checksum=False))[0] == CONTENT
    server.always["/a.bin"] = Fault(without_length=True)
    with pytest.raises(DownloadError, match="does not say how long"):
        await fetch(server, tmp_path / "2", size=False, checksum=False)


@pytest.mark.parametrize(
    ("status", "why"), [(404, "does not have the file"), (403, "let anybody"), (418, "no download")]
)
async def test_no_for_good(server: FileServer, tmp_path: Path, status: int, why: str) -> None:
    server.always["/a.bin"] = Fault(status=status)
    with pytest.raises(DownloadError, match=f"answers {status}.*{why}"):
        await fetch(server, tmp_path)
    assert len(server.asked) == 1


async def test_no_for_now(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [
        Fault(status=503, headers={"Retry-After": "7"}),
        Fault(status=500),
        Fault(status=503, headers={"Retry-After": "Fri, 01 Jan 2021 00:00:00 GMT"}),
        Fault(),
    ]
    content, _, pauses = await fetch(server, tmp_path)
    assert content == CONTENT
    assert pauses.seconds == [7, 2, 0]


async def test_asked_too_much_becomes_one_connection(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), *[Fault(status=429)] * 4, Fault(hold_after=10)]
    task = asyncio.create_task(fetch(server, tmp_path))
    await until(server.held.is_set)
    server.most_at_once = 0
    server.gate.set()
    assert (await task)[0] == CONTENT
    assert server.most_at_once == 1


async def test_a_wait_that_is_too_long_for_anybody(server: FileServer, tmp_path: Path) -> None:
    server.always["/a.bin"] = Fault(status=429, headers={"Retry-After": "86400"})
    with pytest.raises(DownloadError, match="for 86400 seconds more: try again later"):
        await fetch(server, tmp_path)
    assert len(server.asked) == 1


async def test_waits_grow(server: FileServer, tmp_path: Path) -> None:
    server.always["/a.bin"] = Fault(status=502)
    async with fetching(tmp_path, Manners(tries=5, first_wait=1, longest_wait=5)) as (fetcher, _, pauses):
        with pytest.raises(DownloadError, match="in 5 tries: the server answers 502"):
            await fetcher.fetch(remote(server.url + "/a.bin", "a.bin", CONTENT), None)
        assert pauses.seconds == [1, 2, 4, 5]


async def test_redirects_are_followed_for_each_part(server: FileServer, tmp_path: Path) -> None:
    server.files["/cdn"] = CONTENT
    server.always["/a.bin"] = Fault(status=302, headers={"Location": "/cdn"})
    content, _, _ = await fetch(server, tmp_path)
    assert content == CONTENT
    assert server.count("/a.bin") == server.count("/cdn") == 5
    assert sorted(one.first for one in server.asked if one.path == "/cdn") == [0, 0, 100_000, 200_000, 300_000]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/b", "more than 10 redirects"),
        ("/a.bin", "redirects to nowhere"),
        ("file:///etc/passwd", "redirects to nowhere"),
        ("http://[::1", "could not be fetched in 4 tries.*Invalid"),
    ],
)
async def test_redirects_that_lead_nowhere(server: FileServer, tmp_path: Path, location: str, why: str) -> None:
    server.always["/a.bin"] = Fault(status=302, headers={"Location": location})
    server.always["/b"] = Fault(status=307, headers={"Location": "/c"})
    server.always["/c"] = Fault(status=307, headers={"Location": "/b"})
    with pytest.raises(DownloadError, match=why):
        await fetch(server, tmp_path)


async def test_a_silent_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(hold_after=10)]
    manners = Manners(smallest_part=SIZE, timeout=0.5, tries=20)
    content, told, _ = await fetch(server, tmp_path, manners=manners)
    assert content == CONTENT
    assert "the server went silent" in [why for _, why in told.waits]


async def test_a_crawling_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    ticks = iter(range(0, 100_000, 30))
    manners = Manners(smallest_part=SIZE, slowest=10_000_000, slow_after=60, tries=3)
    server.validators = False
    async with fetching(tmp_path, manners, clock=lambda: float(next(ticks))) as (fetcher, told, _):
        with pytest.raises(DownloadError, match="less than 10000000 bytes a second"):
            await fetcher.fetch(remote(server.url + "/a.bin", "a.bin", CONTENT, checksum=False), None)
    assert len(told.waits) == 2


async def test_nobody_there(tmp_path: Path) -> None:
    async with FileServer() as gone:
        url = gone.url
    async with fetching(tmp_path, MANNERS) as (fetcher, _, _):
        with pytest.raises(DownloadError, match="no connection could be made"):
            await fetcher.fetch(remote(url + "/a.bin", "a.bin", CONTENT), None)


async def test_a_checksum_that_finds_damage_is_one_too(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "right").write_bytes(CONTENT)
    unknown = remote(server.url + "/a.bin", "a.bin", CONTENT, checksum=False)
    wanted = replace(unknown, crc32c=crc32c_of(tmp_path / "right"))
    async with fetching(tmp_path) as (fetcher, _, _):
        assert (await fetcher.fetch(wanted, None)).sha256 == sha(CONTENT)
    server.files["/a.bin"] = noise(SIZE, 2)
    async with fetching(tmp_path / "other") as (fetcher, _, _):
        with pytest.raises(WrongContent, match=f"its CRC-32C is [0-9a-f]{{8}}, it should be {wanted.crc32c}"):
            await fetcher.fetch(wanted, None)


async def test_a_mirror_is_asked_instead(server: FileServer, tmp_path: Path) -> None:
    server.files["/models/example.com/some/a.bin"] = CONTENT
    async with fetching(tmp_path, Manners(), mirror=server.url + "/models") as (fetcher, _, _):
        fetched = await fetcher.fetch(remote("https://example.com/some/a.bin", "a.bin", CONTENT), sha(CONTENT))
    assert fetched.path.read_bytes() == CONTENT


async def test_a_folder_that_cannot_be_written(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        await fetch(server, tmp_path / "file" / "below")


async def test_stopped_in_the_middle_nothing_is_lost(server: FileServer, tmp_path: Path) -> None:
    server.faults["/a.bin"] += [Fault(), *[Fault(hold_after=60_000)] * 4]
    task = asyncio.create_task(fetch(server, tmp_path))
    url = server.url + "/a.bin"
    await until(lambda: (saved := read_journal(tmp_path, url)) is not None and saved.done > 100_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.gate.set()
    journal = read_journal(tmp_path, url)
    assert journal is not None
    assert journal.done > 100_000
    data, _ = places(tmp_path, url)
    content = data.read_bytes()
    for span in journal.spans:
        assert content[span.start : span.at] == CONTENT[span.start : span.at]
