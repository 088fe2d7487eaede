"""Plain, gzip and zip are one text; what is none of them is refused by name."""

import bz2
import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.datasets.opened import opened
from bench.errors import InputError


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


FORMS = {"plain": bytes, "gzip": gzip.compress, "zip": lambda data: zipped(a=data)}


def read(folder, content: bytes) -> bytes:
    path = folder / "file"
    path.write_bytes(content)
    with opened(path) as file:
        return file.read()


@given(text=st.text(min_size=1).map(str.encode), form=st.sampled_from(sorted(FORMS)), mark=st.booleans())
def test_every_form_gives_the_same_bytes(text, form, mark, tmp_path_factory):
    if text.startswith((b"\x1f\x8b", b"PK\3\4", b"\xef\xbb\xbf")):
        return
    content = FORMS[form](b"\xef\xbb\xbf" * mark + text)
    assert read(tmp_path_factory.mktemp("form"), content) == text


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (gzip.compress(b""), "the file is empty"),
        ("user,item\n".encode("utf-16"), "the text is UTF-16; save the file as UTF-8"),
        ("user,item\n".encode("utf-32"), "the text is UTF-32"),
        (gzip.compress("user,item\n".encode("utf-16")), "the text is UTF-16"),
        (gzip.compress(b"user,item\n" * 99)[:-9], "cannot be unpacked"),
        ("user,item\n".encode("utf-16-le"), "the text is UTF-16"),
        ("user,item\n".encode("utf-16-be"), "the text is UTF-16"),
        (bz2.compress(b"user,item\n"), "this is bzip2; save it as text, plain, gzip or zip"),
        (zipped(), "the zip holds 0 files"),
        (zipped(a=b"1" * 99).replace(b"\0\0\x08\0", b"\1\0\x08\0"), "the zip is encrypted|cannot be unpacked"),
        (zipped(a=b"1", b=b"2"), "the zip holds 2 files \\('a, b'\\); unpack it and name one of them"),
        (b"PK\3\4" + bytes(40), "cannot be unpacked"),
    ],
    ids=["empty", "mark alone", "empty gzip", "utf-16", "utf-32", "utf-16 in gzip", "cut gzip", "utf-16-le",
         "utf-16-be", "bzip2", "no file", "encrypted", "two files", "cut zip"],
)
def test_what_is_no_text_is_refused_by_name(content, told, tmp_path):
    with pytest.raises(InputError, match=told):
        read(tmp_path, content)


def test_what_is_not_there_or_no_file_is_refused(tmp_path):
    for path, told in ((tmp_path / "no", "there is no such file"), (tmp_path, "this is not a file")):
        with pytest.raises(InputError, match=told), opened(path):
            pass
