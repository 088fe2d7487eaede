"""Fetch a named dataset from its owner: https only, resumed, hashed, unpacked with care, placed whole or not at all.

The archive goes to `<folder>/<name>.zip.part` until all of it is there; run `get` again after an interruption and it
goes on where it stopped. Members are unpacked to temporary files and renamed once every one of them has passed.
"""

import errno
import os
import re
import shutil
import stat
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pooch
import requests

from bench.datasets.catalogue import Archive, Dataset, find
from bench.datasets.load import file_sha256
from bench.errors import InputError

Progress: TypeAlias = Callable[[int, int | None], None]
MAX_RATIO = 200
CHUNK = 1 << 16  # bytes


def get(
    name: str,
    folder: Path,
    progress: Progress = lambda _done, _total: None,
    *,
    archive: Archive | None = None,
    allow_loopback_http: bool = False,
    timeout: float = 30.0,
) -> tuple[Path, ...]:
    """Bring a dataset's files into the folder and return their paths; files that are there already are left alone.

    Args:
        name: One of `DATASETS`.
        folder: The data folder; it is made if missing.
        progress: Called with the bytes received so far and in all, None where the server does not say.
        archive: Another place to fetch from. Default: the owner's.
        allow_loopback_http: Whether that place may be plain http on this machine.
        timeout: Seconds of silence after which the server is given up.

    Raises:
        InputError: Unknown name, a dataset without an address (the message says where to get it and where to put it), a
            failed or refused transfer, a wrong hash, an unsafe archive, or a folder that cannot be written.
    """
    dataset = find(name)
    archive = archive or dataset.archive
    place = folder / dataset.copies[0].path
    if archive is None:
        if copy := dataset.found(folder):
            return (folder / copy.path,)
        raise InputError(
            f"{dataset.title} has no address to fetch it from: get it from {dataset.page} and put the file at {place}"
        )
    targets = tuple(folder / target for target in archive.members.values())
    _require_known(dataset, folder)
    if all(target.exists() for target in targets):
        return targets
    part = folder / f"{name}.zip.part"
    for above in (part, *(above for target in targets for above in target.parents if folder in above.parents)):
        if above.is_symlink():
            raise InputError(f"{above} is a symbolic link, and nothing is written through one; remove it, or put the "
                             f"files of {dataset.page} where it leads")  # fmt: skip
    _require_safe(archive.address, allow_loopback_http)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(archive, part, progress, allow_loopback_http, timeout)
        _require_md5(part, archive)
        unpack(part, archive, dataset, folder)
        part.unlink()
    except requests.RequestException as error:
        reason = error.response.reason if error.response is not None else _root(error)
        raise InputError(
            f"{archive.address} did not answer as it should ({reason}); run the command again to go on, or get the "
            f"file from {dataset.page} and put it at {place}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write under {folder} ({error.strerror}); choose a folder with room") from error
    return targets


def _require_safe(address: str, allow_loopback_http: bool, base: str = "") -> None:
    """Raise InputError for an address, which may be relative to `base`, that must not be fetched from."""
    try:
        url = urllib.parse.urlsplit(urllib.parse.urljoin(base, address))
    except ValueError as error:
        raise InputError(f"{address!r} is not an address ({error})") from error
    loopback = url.hostname in ("127.0.0.1", "::1", "localhost")
    if url.scheme != "https" and not (allow_loopback_http and url.scheme == "http" and loopback):
        raise InputError(f"{address} is refused: data is fetched over https only")


def _root(error: BaseException) -> BaseException:
    """The error that this one came from."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error


class _Part:
    """The part file that pooch writes to: continued where the server allows that, and never larger than expected."""

    def __init__(self, file: BinaryIO, archive: Archive, progress: Progress, allow_loopback_http: bool) -> None:
        self.file, self.archive, self.progress = file, archive, progress
        self.allow_loopback_http = allow_loopback_http
        self.done = file.tell()
        self.total: int | None = None

    def begin(self, response: requests.Response, *_: Any, **_more: Any) -> None:
        """Check an answer before its body is read, as a hook of requests."""
        _require_safe(response.url, self.allow_loopback_http)
        if response.is_redirect:
            _require_safe(response.headers["Location"], self.allow_loopback_http, response.url)
            return
        if not response.ok:
            return  # pooch raises
        response.raw.enforce_content_length = False  # what comes before a break is kept; `_fetch` compares lengths
        address, most = self.archive.address, self.archive.max_bytes
        if not response.headers.get("Content-Length", "").isdecimal():
            response.headers.pop("Content-Length", None)  # pooch takes it for a number
        if response.status_code == HTTPStatus.OK:  # from the start, whether or not a range was asked for
            self.file.truncate(0)
            self.done = 0
            self.total = int(response.headers["Content-Length"]) if "Content-Length" in response.headers else None
        else:
            told = response.headers.get("Content-Range", "without Content-Range")
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", told)
            if span is None or int(span[1]) != self.done:
                answer = f"answers {response.status_code} {told} to a request for the bytes from {self.done}"
                raise InputError(f"{address} {answer}; try again later")
            self.total = int(span[2])
        if self.total is not None and self.total > most:
            raise InputError(f"{address} has {self.total} bytes, more than the {most} expected at most")
        self.progress(self.done, self.total)

    def write(self, block: bytes) -> None:
        """Add what came."""
        self.done += len(block)
        if self.done > self.archive.max_bytes:
            self.file.truncate(0)
            raise InputError(f"{self.archive.address} sends more than the {self.archive.max_bytes} bytes expected")
        self.file.write(block)
        self.progress(self.done, self.total)

    def flush(self) -> None:
        """Do nothing: pooch asks for it after every block."""


def _fetch(archive: Archive, path: Path, progress: Progress, allow_loopback_http: bool, timeout: float) -> None:
    """Complete the part file at `path`, going on from what it holds where the server allows that."""
    broken = None
    try:
        with path.open("ab") as file:
            part, start = _Part(file, archive, progress, allow_loopback_http), file.tell()
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
            hooks = {"response": part.begin}
            try:
                pooch.HTTPDownloader(chunk_size=CHUNK, headers=headers, hooks=hooks, timeout=timeout)(
                    archive.address, part, None
                )
            except requests.exceptions.ChunkedEncodingError as error:
                broken = error
            file.flush()
            os.fsync(file.fileno())
    except requests.HTTPError as error:
        answer = error.response
        if not start or answer is None or answer.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if answer.headers.get("Content-Range") != f"bytes */{start}":  # otherwise all of it was there
            path.unlink()
            _fetch(archive, path, progress, allow_loopback_http, timeout)
        return
    finally:
        if path.exists() and not path.stat().st_size:
            path.unlink()
    if broken or part.total not in (None, part.done):
        of = f"{part.done} of {'unknown' if part.total is None else part.total} bytes"
        raise InputError(f"{archive.address} broke off at {of}; run the command again to go on") from broken


def _require_md5(part: Path, archive: Archive) -> None:
    if archive.md5 is None:
        return
    found = pooch.file_hash(str(part), alg="md5")
    if found != archive.md5:
        part.unlink()
        raise InputError(
            f"{archive.address}: the archive has MD5 {found}, its owner publishes {archive.md5}; what came "
            f"was removed, run the command again"
        )


def _require_known(dataset: Dataset, folder: Path) -> None:
    copy = dataset.copies[0]
    path = folder / copy.path
    if copy.sha256 is not None and path.exists() and file_sha256(path) != copy.sha256:
        raise InputError(f"{path} is there but differs from the known file; move it away and run the command again")


def unpack(part: Path, archive: Archive, dataset: Dataset, folder: Path) -> None:
    """Unpack the wanted members beside their places, then rename them all.

    Args:
        part: The archive, a zip file.
        archive: Which members are wanted and where they go, and the sizes expected at most.
        dataset: Whose known hashes the members must have.
        folder: The data folder.

    Raises:
        InputError: The archive is broken or unsafe; it is removed, and none of its members is there.
    """
    known, placed = {copy.path: copy.sha256 for copy in dataset.copies}, dict[Path, Path]()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(part) as zipped, tempfile.TemporaryDirectory(dir=folder, prefix=".unpacked-") as place:
            for info in _wanted(zipped, archive):
                target = archive.members[info.filename]
                if (folder / target).exists():
                    continue
                placed[folder / target] = temporary = Path(place) / str(len(placed))
                # zipfile checks the CRC at the end and never gives more than the declared size.
                with zipped.open(info) as source, temporary.open("xb") as file:
                    shutil.copyfileobj(source, file, CHUNK)
                    file.flush()
                    os.fsync(file.fileno())
                if known.get(target) not in (None, found := file_sha256(temporary)):
                    what = f"{info.filename} has SHA-256 {found}, expected {known[target]}"
                    raise InputError(f"{archive.address}: {what}; it was removed")
            for target_path, temporary in placed.items():
                target_path.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(target_path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a place before the archive's start
            raise
        part.unlink()
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive.address}: the archive is broken ({error}); it was removed, try again") from error


def _wanted(zipped: zipfile.ZipFile, archive: Archive) -> list[zipfile.ZipInfo]:
    """The members to unpack, after refusing an archive with a trick in any member's name or in a wanted one's size."""
    infos = zipped.infolist()
    for info in infos:
        name = info.orig_filename
        if name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":" or ".." in name.split("/"):
            raise InputError(f"{archive.address}: member {name!r} points outside the archive; the archive is refused")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{archive.address}: member {name!r} is a link; the archive is refused")
    wanted = [info for info in infos if info.filename in archive.members]
    names = sorted(info.filename for info in wanted)
    if names != sorted(archive.members):
        raise InputError(f"{archive.address}: expected {', '.join(sorted(archive.members))} once each, found {names}")
    for info in wanted:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{archive.address}: member {info.filename!r} is encrypted or not deflated; refused")
        if info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise InputError(f"{archive.address}: member {info.filename!r} unpacks over {MAX_RATIO} times; refused")
    size = sum(info.file_size for info in wanted)
    if size > archive.max_unpacked:
        raise InputError(f"{archive.address}: unpacks to {size} bytes, at most {archive.max_unpacked} are expected")
    return wanted
