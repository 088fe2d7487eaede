"""Fetch a named dataset from its owner: https only, resumed, hashed, unpacked with care, placed whole or not at all.

The archive goes to `<folder>/<name>.zip.part` until all of it is there; run `get` again after an interruption and it
goes on where it stopped. Members are unpacked to temporary files and renamed once every one of them has passed.
"""

import errno
import hashlib
import http.client
import os
import re
import ssl
import stat
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bench.datasets.catalogue import Archive, Dataset, find
from bench.datasets.load import file_sha256
from bench.errors import InputError

Progress = Callable[[int, int | None], None]
MAX_RATIO = 200
CHUNK = 1 << 16


def get(
    name: str,
    folder: Path,
    progress: Progress | None = None,
    *,
    archive: Archive | None = None,
    allow_loopback_http: bool = False,
    timeout: float = 30.0,
) -> tuple[Path, ...]:
    """Bring a dataset's files into the folder and return their paths; files that are there already are left alone.

    progress: called with bytes so far and in all (None where the server does not say). archive: another place to
    fetch from. allow_loopback_http: let that place be plain http on this machine. timeout: seconds of silence.
    Raises InputError for an unknown name, a dataset without an address (it says where to get it and where to put
    it), a failed or refused transfer, a wrong hash, an archive that is unsafe, or a folder that cannot be written.
    """
    dataset = find(name)
    archive = archive or dataset.archive
    if archive is None:
        if copy := dataset.found(folder):
            return (folder / copy.path,)
        raise InputError(
            f"{dataset.title} has no address to fetch it from: get it from {dataset.page} and put the file at "
            f"{folder / dataset.copies[0].path}"
        )
    targets = tuple(folder / target for target in archive.members.values())
    _require_known(dataset, folder)
    if all(target.exists() for target in targets):
        return targets
    part = folder / f"{name}.zip.part"
    for place in (part, *(above for target in targets for above in target.parents if folder in above.parents)):
        if place.is_symlink():
            raise InputError(f"{place} is a symbolic link, and nothing is written through one; remove it, or put the "
                             f"files of {dataset.page} where it leads")  # fmt: skip
    opener = urllib.request.build_opener(_Redirects(allow_loopback_http))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(opener, archive, part, progress or _ignore, allow_loopback_http, timeout)
        _require_md5(part, archive)
        unpack(part, archive, dataset, folder)
        part.unlink()
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{archive.address} did not answer as it should ({reason}); run the command again to go on, or get the "
            f"file from {dataset.page} and put it at {folder / dataset.copies[0].path}"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write under {folder} ({error.strerror}); choose a folder with room") from error
    return targets


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects only to addresses that could have been asked for."""

    def __init__(self, allow_loopback_http: bool) -> None:
        self.allow_loopback_http = allow_loopback_http

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _require_safe(newurl, self.allow_loopback_http)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _ignore(_done: int, _total: int | None) -> None:
    """Report progress to nobody."""


def _require_safe(address: str, allow_loopback_http: bool) -> None:
    try:
        url = urllib.parse.urlsplit(address)
    except ValueError as error:
        raise InputError(f"{address!r} is not an address ({error})") from error
    loopback = url.hostname in ("127.0.0.1", "::1", "localhost")
    if url.scheme != "https" and not (allow_loopback_http and url.scheme == "http" and loopback):
        raise InputError(f"{address} is refused: data is fetched over https only")


def _fetch(
    opener: urllib.request.OpenerDirector,
    archive: Archive,
    part: Path,
    progress: Progress,
    allow_loopback_http: bool,
    timeout: float,
) -> None:
    """Complete the part file, going on from what it holds where the server allows that."""
    _require_safe(archive.address, allow_loopback_http)
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(archive.address, headers={"Accept-Encoding": "identity"})  # noqa: S310
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
                raise
            whole = error.headers.get("Content-Range") == f"bytes */{start}"
        if whole:
            return
        part.unlink()
        _fetch(opener, archive, part, progress, allow_loopback_http, timeout)
        return
    with response:
        start, total = _span(response, start, archive.address)
        if total is not None and total > archive.max_bytes:
            raise InputError(f"{archive.address} has {total} bytes, more than the {archive.max_bytes} expected at most")
        done = start
        with part.open("ab" if start else "wb") as file:
            progress(done, total)
            while block := response.read(CHUNK):
                done += len(block)
                if done > archive.max_bytes:
                    file.truncate(0)
                    raise InputError(f"{archive.address} sends more than the {archive.max_bytes} bytes expected")
                file.write(block)
                progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done != total:
        raise InputError(f"{archive.address} broke off at {done} of {total} bytes; run the command again to go on")


def _span(response: http.client.HTTPResponse, start: int, address: str) -> tuple[int, int | None]:
    """Where the bytes that come begin, and how long the whole is; a server that ignores Range begins at 0."""
    if response.status == http.HTTPStatus.OK:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or span is None or int(span[1]) != start:
        answer = f"{response.status} {response.headers.get('Content-Range', 'without Content-Range')}"
        raise InputError(f"{address} answers {answer} to a request for the bytes from {start}; try again later")
    return start, int(span[3])


def _require_md5(part: Path, archive: Archive) -> None:
    if archive.md5 is None:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
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

    On any fault none of them is there, the archive is removed, and InputError raised.
    """
    unpacked: dict[Path, Path] = {}
    try:
        _unpack_beside(part, archive, dataset, folder, unpacked)
        for target, temporary in unpacked.items():
            temporary.replace(target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a place before the archive's start
            raise
        part.unlink()
        if isinstance(error, InputError):
            raise
        raise InputError(f"{archive.address}: the archive is broken ({error}); it was removed, try again") from error
    finally:
        for temporary in unpacked.values():
            temporary.unlink(missing_ok=True)


def _unpack_beside(
    part: Path, archive: Archive, dataset: Dataset, folder: Path, unpacked: dict[Path, Path]
) -> None:
    """Unpack what is not there yet, noting target -> temporary file as it goes, and check the known hashes."""
    known = {folder / copy.path: copy.sha256 for copy in dataset.copies}
    with zipfile.ZipFile(part) as zipped:
        for info in _wanted(zipped, archive):
            target = folder / archive.members[info.filename]
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            unpacked[target] = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            _write_member(zipped, info, unpacked[target])
            found = file_sha256(unpacked[target])
            if known.get(target) not in (None, found):
                raise InputError(
                    f"{archive.address}: {info.filename} has SHA-256 {found}, expected {known[target]}; it was removed"
                )


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


def _write_member(zipped: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    """Unpack one member; the module checks its CRC at the end and never gives more than the declared size."""
    with zipped.open(info) as source, path.open("xb") as file:
        while block := source.read(CHUNK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
