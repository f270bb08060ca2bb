"""The builder against an independent reader: CPython's tarfile."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.build import FLAVOURS, archive, device, directory, file, hardlink, image, layer, opaque, symlink, whiteout


def test_members_are_what_they_say() -> None:
    plain = layer(
        directory("etc"), file("etc/x", b"1" * 600, mode=0o4755, uid=7, gid=3_000_000, mtime=1.5), file("é" * 90),
        symlink("l", "x" * 150), hardlink("h", "etc/x"), device("n", 1, 3), whiteout("etc/y"), opaque("d"),
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(plain)) as read:
        found = read.getmembers()
    assert [m.name for m in found] == ["etc", "etc/x", "é" * 90, "l", "h", "n", "etc/.wh.y", "d/.wh..wh..opq"]
    assert (found[1].size, found[1].mode, found[1].uid, found[1].gid, found[1].mtime) == (
        600,
        0o4755,
        7,
        3_000_000,
        1.5,
    )
    assert (found[3].linkname, found[4].linkname, found[5].devmajor, found[5].devminor) == ("x" * 150, "etc/x", 1, 3)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_equal_calls_give_equal_bytes(flavour: str) -> None:
    assert archive(flavour, image(layer(file("a")))) == archive(flavour, image(layer(file("a"))))
