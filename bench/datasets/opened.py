"""A file of text as its bytes, whether it is plain, gzip or a zip of one file."""

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from bench.errors import INPUT_ERRORS, InputError
from bench.text import short

ZIPS = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")  # of some files, of none, in parts
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
OTHERS = {b"BZh": "bzip2", b"\xfd7zX": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"7z\xbc\xaf": "7z", b"PAR1": "Parquet"}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading its bytes, unpacked while they are read; what it is, its first bytes say.

    Args:
        path: The file.

    Yields:
        The bytes, from the first one after a UTF-8 byte-order mark.

    Raises:
        InputError: There is no such file, it cannot be read or unpacked, a zip holds any but one file, the text is
            UTF-16 or UTF-32, or there is none; also while it is read.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check the path")
    if not path.is_file():
        raise InputError(f"{path}: this is not a file; name the data file itself")
    packed = False
    try:
        with ExitStack() as open_files:
            file: IO[bytes] = open_files.enter_context(path.open("rb"))
            head = file.read(4)
            file.seek(0)
            packed = head.startswith((b"\x1f\x8b", *ZIPS))
            if head.startswith(b"\x1f\x8b"):
                file = cast("IO[bytes]", open_files.enter_context(gzip.GzipFile(fileobj=file)))
            elif packed:
                file = open_files.enter_context(_only_member(path, open_files.enter_context(zipfile.ZipFile(file))))
            file.seek(3 if _head_of_text(path, file).startswith(b"\xef\xbb\xbf") else 0)
            yield file
    except Exception as error:
        if isinstance(error, INPUT_ERRORS) or not (packed or isinstance(error, OSError)):
            raise
        if packed:  # a broken archive may raise anything
            why = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path}: cannot be unpacked ({why}); get it again, or unpack it yourself") from error
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({why}); check its permissions") from error


def _head_of_text(path: Path, file: IO[bytes]) -> bytes:
    """The first bytes, if they can be those of a text in UTF-8."""
    head = file.read(4)
    if head.removeprefix(b"\xef\xbb\xbf") == b"":
        raise InputError(f"{path}: the file is empty; get it again")
    name = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
    if [byte == 0 for byte in head] in ([False, True] * 2, [True, False] * 2):
        name = "UTF-16"
    if name is not None:
        raise InputError(f"{path}: the text is {name}; save the file as UTF-8")
    other = next((name for mark, name in OTHERS.items() if head.startswith(mark)), None)
    if other is not None:
        raise InputError(f"{path}: this is {other}; save it as text, plain, gzip or zip")
    return head


def _only_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) != 1:
        names = short(", ".join(member.filename for member in members))
        raise InputError(f"{path}: the zip holds {len(members)} files ({names}); unpack it and name one of them")
    if members[0].flag_bits & 1:
        raise InputError(f"{path}: the zip is encrypted; unpack it yourself")
    return archive.open(members[0])
