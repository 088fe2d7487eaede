"""Fetching from an owner, played by a server on this machine: resumed, hashed, and unpacked with care."""

import hashlib
import io
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.datasets import catalogue, download
from bench.datasets.catalogue import Archive
from bench.errors import InputError

U_DATA = b"".join(b"%d\t%d\t3\t%d\n" % (user, item, user * item) for user in range(1, 60) for item in range(1, 60))


@dataclass
class Owner:
    """What the server holds and how it behaves; `asked` collects the Range headers."""

    address: str = ""
    content: bytes = b""
    ranges: bool = True
    break_at: int | None = None
    shift: int = 0
    status: int | None = None
    redirect: str | None = None
    tells_length: bool = True
    asked: list[str | None] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        if self.status or self.redirect:
            handler.send_response(302 if self.redirect else self.status or 500)
            handler.send_header("Location", self.redirect or "")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if start and start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            span = f"bytes {start + self.shift}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", span)
        if self.tells_length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if self.break_at is None else body[: self.break_at])
        handler.close_connection = True


@pytest.fixture
def owner() -> Iterator[Owner]:
    told = Owner()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    told.address = f"http://127.0.0.1:{server.server_port}/ml-100k.zip"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


GOOD = zipped({"ml-100k/u.data": U_DATA, "ml-100k/README": b"terms\n", "ml-100k/u.user": b"not wanted"})
MEMBERS = {"ml-100k/u.data": "ml-100k/u.data", "ml-100k/README": "ml-100k/README"}


def archive(owner: Owner, content: bytes = GOOD, md5: str | None = "right", **limits: int) -> Archive:
    owner.content = content
    if md5 == "right":
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    sizes = {"max_bytes": 1 << 20, "max_unpacked": 1 << 20} | limits
    return Archive(owner.address, md5, sizes["max_bytes"], sizes["max_unpacked"], MEMBERS)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the known u.data be the one this test's owner publishes."""
    dataset = catalogue.DATASETS["ml-100k"]
    copy = replace(dataset.copies[0], sha256=hashlib.sha256(U_DATA).hexdigest())
    monkeypatch.setitem(catalogue.DATASETS, "ml-100k", replace(dataset, copies=(copy,)))


def get(folder: Path, place: Archive, **options: object) -> tuple[Path, ...]:
    return download.get("ml-100k", folder, archive=place, allow_loopback_http=True, timeout=5.0, **options)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_wanted_members_arrive_and_nothing_else(owner: Owner, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    paths = get(tmp_path, archive(owner), progress=lambda done, total: seen.append((done, total)))
    assert paths == (tmp_path / "ml-100k/u.data", tmp_path / "ml-100k/README")
    assert paths[0].read_bytes() == U_DATA
    assert files(tmp_path) == ["ml-100k/README", "ml-100k/u.data"]
    assert seen[0] == (0, len(GOOD))
    assert seen[-1] == (len(GOOD), len(GOOD))
    assert get(tmp_path, archive(owner)) == paths
    assert len(owner.asked) == 1


def test_an_interrupted_transfer_goes_on_where_it_stopped(owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    owner.break_at = 1000
    with pytest.raises(InputError, match=f"broke off at 1000 of {len(GOOD)} bytes; run the command again"):
        get(tmp_path, place)
    assert files(tmp_path) == ["ml-100k.zip.part"]
    owner.break_at = None
    assert get(tmp_path, place)[0].read_bytes() == U_DATA
    assert owner.asked == [None, "bytes=1000-"]


def test_a_server_that_ignores_range_is_read_from_the_start(owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    (tmp_path / "ml-100k.zip.part").write_bytes(b"x" * (len(GOOD) + 100))
    owner.ranges = False
    assert get(tmp_path, place)[0].read_bytes() == U_DATA


@pytest.mark.parametrize("extra", [0, 100])
def test_a_part_that_is_whole_or_too_long(extra: int, owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    (tmp_path / "ml-100k.zip.part").write_bytes(GOOD + b"x" * extra)
    assert get(tmp_path, place)[0].read_bytes() == U_DATA
    assert owner.asked == [f"bytes={len(GOOD) + extra}-", *([None] if extra else [])]


def test_a_range_that_was_not_asked_for_is_refused(owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    (tmp_path / "ml-100k.zip.part").write_bytes(GOOD[:500])
    owner.shift = 7
    with pytest.raises(InputError, match="answers 206 bytes 507-"):
        get(tmp_path, place)


def test_a_stale_part_is_found_by_its_hash_and_removed(owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    (tmp_path / "ml-100k.zip.part").write_bytes(b"x" * 500)
    with pytest.raises(InputError, match="its owner publishes"):
        get(tmp_path, place)
    assert files(tmp_path) == []
    assert get(tmp_path, place)[0].read_bytes() == U_DATA


def test_a_member_of_the_wrong_hash_is_refused(owner: Owner, tmp_path: Path) -> None:
    content = zipped({"ml-100k/u.data": U_DATA + b"1\t1\t1\t1\n", "ml-100k/README": b""})
    with pytest.raises(InputError, match=r"ml-100k/u\.data has SHA-256"):
        get(tmp_path, archive(owner, content))
    assert files(tmp_path) == []


def test_a_changed_file_is_not_overwritten(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k/u.data").write_text("mine")
    with pytest.raises(InputError, match="differs from the known file; move it away"):
        get(tmp_path, archive(owner))
    (tmp_path / "ml-100k/u.data").write_bytes(U_DATA)
    (tmp_path / "ml-100k/README").write_text("mine")
    (tmp_path / "ml-100k/u.data").unlink()
    get(tmp_path, archive(owner))
    assert (tmp_path / "ml-100k/README").read_text() == "mine"


@pytest.mark.parametrize("name", ["/etc/cron", "../up", "a/../../up", "a\\..\\b", "C:/x", ".."])
def test_names_that_point_outside_are_refused(name: str, owner: Owner, tmp_path: Path) -> None:
    content = zipped({"ml-100k/u.data": U_DATA, "ml-100k/README": b"", name: b"x"})
    with pytest.raises(InputError, match="points outside the archive"):
        get(tmp_path / "data", archive(owner, content))
    assert files(tmp_path) == []


def test_links_are_refused(owner: Owner, tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        link = zipfile.ZipInfo("ml-100k/u.data")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        made.writestr(link, "/etc/passwd")
        made.writestr("ml-100k/README", "")
    with pytest.raises(InputError, match="is a link"):
        get(tmp_path, archive(owner, file.getvalue()))
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (zipped({"ml-100k/u.data": bytes(1 << 20), "ml-100k/README": b""}), {}, "unpacks over 200 times"),
        (GOOD, {"max_unpacked": 1000}, "at most 1000 are expected"),
        (GOOD, {"max_bytes": 1000}, "more than the 1000 expected"),
        (zipped({"ml-100k/u.data": U_DATA}), {}, "once each"),
        (zipped({"ml-100k/u.data": U_DATA, "ml-100k/README": b""}, zipfile.ZIP_BZIP2), {}, "not deflated"),
        (b"<html>sorry</html>", {}, "the archive is broken"),
        (GOOD[:-30], {}, "the archive is broken"),
    ],
)
def test_unsafe_and_broken_archives_are_refused(
    content: bytes, limits: dict[str, int], message: str, owner: Owner, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        get(tmp_path, archive(owner, content, **limits))
    assert files(tmp_path) == []


def test_an_unknown_length_is_read_to_its_end_but_not_past_the_limit(owner: Owner, tmp_path: Path) -> None:
    owner.tells_length = False
    with pytest.raises(InputError, match="sends more than the 1000 bytes expected"):
        get(tmp_path, archive(owner, max_bytes=1000))
    assert get(tmp_path, archive(owner))[0].read_bytes() == U_DATA


def test_a_size_that_lies_is_caught(tmp_path: Path, owner: Owner) -> None:
    """A member that unpacks to more than it declares: the declared size is what may be written."""
    lying = GOOD.replace(len(U_DATA).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lying != GOOD
    with pytest.raises(InputError, match="the archive is broken"):
        get(tmp_path, archive(owner, lying))
    assert files(tmp_path) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_archive_is_refused_or_right(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    content = bytearray(GOOD)
    for at, byte in damage:
        content[at] = byte
    part = tmp_path / "part"
    part.write_bytes(content)
    for file in files(tmp_path / "out"):
        (tmp_path / "out" / file).unlink()
    dataset = catalogue.DATASETS["ml-100k"]
    place = Archive("https://owner", None, 1 << 20, 1 << 20, MEMBERS)
    try:
        download.unpack(part, place, dataset, tmp_path / "out")
    except InputError:
        assert files(tmp_path / "out") == []
    else:
        assert (tmp_path / "out/ml-100k/u.data").read_bytes() == U_DATA


def test_only_https_is_fetched(owner: Owner, tmp_path: Path) -> None:
    place = archive(owner)
    with pytest.raises(InputError, match="over https only"):
        download.get("ml-100k", tmp_path, archive=place)
    for address in ("file:///etc/passwd", "http://example.org/x.zip", "ftp://127.0.0.1/x", "http://[bad"):
        with pytest.raises(InputError, match=r"over https only|not an address"):
            get(tmp_path, replace(place, address=address))
    owner.redirect = "http://example.org/x.zip"
    with pytest.raises(InputError, match=r"http://example\.org/x\.zip is refused"):
        get(tmp_path, place)
    assert len(owner.asked) == 1


def test_an_answer_that_is_an_error_says_where_else_to_look(owner: Owner, tmp_path: Path) -> None:
    owner.status = 404
    with pytest.raises(InputError, match=r"did not answer as it should \(Not Found\).*grouplens\.org.*u\.data"):
        get(tmp_path, archive(owner))
    gone = replace(archive(owner), address="http://127.0.0.1:9/x.zip")
    with pytest.raises(InputError, match=r"Connection refused.*put it at"):
        get(tmp_path, gone)


def test_a_folder_that_cannot_be_written_is_told(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write under .*file/data \(Not a directory\)"):
        get(tmp_path / "file" / "data", archive(owner))


def test_without_an_address_the_page_and_place_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"get it from https://www\.upf\.edu/web/mtg/kgrec and put the file at"):
        download.get("kgrec-music", tmp_path)
    path = tmp_path / "beauty/s3rec.txt"
    path.parent.mkdir()
    path.write_text("1 2\n")
    assert download.get("beauty", tmp_path) == (path,)
    with pytest.raises(InputError, match="no dataset 'x'"):
        download.get("x", tmp_path)
