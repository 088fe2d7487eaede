"""Records in a few compressed archives, to be kept in a repository.

A run has thousands of small files that are much alike. Those of one runner, of one model on one dataset each for
recommenders, become one `.tar.xz` in which every file is as it was in its store, byte for byte, so that a store that is
unpacked again verifies them as before. The same records make the same archive.
"""

import io
import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.cells.files import read_file, real, typed, write_file
from bench.cells.record import Record
from bench.cells.store import LARGEST, OWNER_ONLY, Store
from bench.errors import InputError
from bench.text import short

ENDING = ".tar.xz"
MEMBER = re.compile(r"records/(?P<two>[0-9a-f]{2})/(?P=two)[0-9a-f]{62}((\.failed)?\.json|-[0-9a-f]{16}\.npz)")


def archives_in(folder: Path) -> list[Path]:
    """The archives of a folder, in order.

    Args:
        folder: any; one that is missing has none.
    """
    return sorted(folder.glob(f"*{ENDING}"))


def pack(records: Iterable[tuple[Store, Record]], folder: Path) -> list[Path]:
    """Write records and their arrays as archives; archives that the folder held before are replaced or removed.

    Args:
        records: those to keep, each once, and the store that each is in.
        folder: made if missing.

    Returns:
        The archives.

    Raises:
        StoreError: a record cannot be read, or an archive not written.
    """
    groups: dict[str, list[tuple[Store, Record]]] = {}
    for store, record in records:
        groups.setdefault(_group(record), []).append((store, record))
    before, written = archives_in(folder), []
    for name, members in sorted(groups.items()):
        path = folder / f"{name}{ENDING}"
        write_file(path, _archive(members))
        written.append(path)
    with typed(folder):
        for path in before:
            if path not in written:
                path.unlink()
    return written


def unpack(folder: Path, place: Path) -> int:
    """Write the records in a folder's archives into a store, those left out that it has.

    Args:
        folder: holds archives.
        place: folder of the store, made if missing.

    Returns:
        How many records were written.

    Raises:
        InputError: a file is no archive of records, or holds more than `bench.cells.store.LARGEST` bytes.
        StoreError: one cannot be read, or a record not written.
    """
    written = 0
    for archive in archives_in(folder):
        with typed(archive):
            content = read_file(archive, LARGEST)
        for name, data in _members(archive, content):
            path = real(real(place / "records") / name.split("/")[1]) / Path(name).name
            if not path.exists():
                write_file(path, data, OWNER_ONLY)
                written += name.endswith(".json")
    return written


def _group(record: Record) -> str:
    parts, dataset = [str(record.cell["runner"])], record.params.get("dataset")
    if isinstance(dataset, dict):
        parts += [str(dataset.get("name")), str(record.params.get("model", ""))]
    return re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(parts)).strip("-")[:100]


def _archive(records: Iterable[tuple[Store, Record]]) -> bytes:
    """The files of records: arrays first, so that a record that is unpacked has its own."""
    every = ((path, store.folder) for store, record in records for path in store.files_of(record))
    files = sorted(every, key=lambda file: (file[0].suffix == ".json", file[0].name))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=6) as archive:
        for path, folder in files:
            with typed(path):
                data = read_file(path, LARGEST)
            about = tarfile.TarInfo(path.relative_to(folder).as_posix())  # of no date, owner or mode
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return buffer.getvalue()


def _members(path: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file."""
    left = LARGEST
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r|xz") as archive:
            for member in archive:
                left -= member.size
                known = member.isreg() and MEMBER.fullmatch(member.name) and left >= 0
                if not known or (file := archive.extractfile(member)) is None:
                    raise InputError(f"{path}: holds {short(member.name)}, which is no record; fetch the archive again")
                yield member.name, file.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise InputError(f"{path}: is no whole archive ({error}); fetch it again") from error
