"""Which extended attributes there are after an engine has set them, and which are refused: the kernel is asked."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from tarlayers.errors import Refused
from tarlayers.formats.xattrs import takes_xattr
from tarlayers.layer import index_layer
from tarlayers.merging.engine import merge_layers
from tests.build import directory, file, hardlink, layer, symlink, xattrs

ACCESS, DEFAULT, CAPABILITY = "system.posix_acl_access", "system.posix_acl_default", "security.capability"


def acl(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def capability(version: int, words: int) -> bytes:
    return struct.pack("<I", version << 24 | 1) + bytes(4 * words)


NONE = (1 << 32) - 1
OWNER, GROUP, OTHER, MASK = (1, 6, NONE), (4, 4, NONE), (32, 4, NONE), (16, 6, NONE)
LISTS = {
    "the mode": acl(OWNER, GROUP, OTHER),
    "a user": acl(OWNER, (2, 6, 7), GROUP, MASK, OTHER),
    "users and groups": acl(OWNER, (2, 6, 8), (2, 6, 7), GROUP, (8, 6, 7), (8, 4, 7), MASK, OTHER),
    "a mask alone": acl(OWNER, GROUP, MASK, OTHER),
    "a user without a mask": acl(OWNER, (2, 6, 7), GROUP, OTHER),
    "a group without a mask": acl(OWNER, GROUP, (8, 6, 7), OTHER),
    "another order": acl(GROUP, OWNER, OTHER),
    "a user behind groups": acl(OWNER, GROUP, (2, 6, 7), MASK, OTHER),
    "two owners": acl(OWNER, OWNER, GROUP, OTHER),
    "nobody else": acl(OWNER, GROUP),
    "more behind": acl(OWNER, GROUP, OTHER, OTHER),
    "a permission that is none": acl((1, 8, NONE), GROUP, OTHER),
    "a tag that is none": acl((3, 6, NONE), GROUP, OTHER),
    "a user who is nobody": acl(OWNER, (2, 6, NONE), GROUP, MASK, OTHER),
    "no entries": acl(),
    "another version": acl(OWNER, GROUP, OTHER, version=1),
    "half an entry": acl(OWNER, GROUP, OTHER)[:-4],
    "half an entry of another version": acl(OWNER, version=3)[:-4],
    "no list": b"xx",
    "nothing": b"",
}
ATTRIBUTES: dict[str, tuple[str, bytes]] = {
    **{f"access list: {name}": (ACCESS, value) for name, value in LISTS.items()},
    **{f"default list: {name}": (DEFAULT, value) for name, value in LISTS.items()},
    "name of 255 bytes": (f"user.{'n' * 250}", b"1"),
    "name of 256 bytes": (f"user.{'n' * 251}", b"1"),
    "name of 256 bytes in another namespace": (f"com.{'n' * 252}", b"1"),
    "name of 256 bytes in other letters": (f"user.{'é' * 125}n", b"1"),
    "more than 64 KiB": ("user.n", bytes(65537)),
    "more than 64 KiB in another namespace": ("com.n", bytes(65537)),
    "no name": ("user.", b"1"),
    "no name for security": ("security.", b"1"),
    "no name for the system": ("system.", b"1"),
    "namespace alone": ("user", b"1"),
    "security alone": ("security", b"1"),
    "other namespace": ("com.apple", b"1"),
    "other one of the system": ("system.x", b"1"),
    "user": ("user.x", b"1"),
    "user without a value": ("user.x", b""),
    "capabilities of version 1": (CAPABILITY, capability(1, 2)),
    "capabilities of version 2": (CAPABILITY, capability(2, 4)),
    "capabilities of version 3": (CAPABILITY, capability(3, 5)),
    "capabilities of version 4": (CAPABILITY, capability(4, 5)),
    "capabilities of another size": (CAPABILITY, capability(2, 5)),
    "capabilities with a flag that is none": (CAPABILITY, b"\3" + capability(2, 4)[1:]),
    "capabilities that are none": (CAPABILITY, b"xx"),
}
KINDS = ("file", "dir", "symlink", "fifo")


def ask_here(name: str, value: bytes, kind: str) -> bool | None:
    """Say whether an attribute is kept; None where it is refused."""
    try:
        return takes_xattr(name, value, kind)
    except Refused as error:
        assert error.rule == "X12"
        return None


def ask_kernel(name: str, value: bytes, kind: str, path: Path) -> bool | None:
    """Set the attribute as containerd does."""
    match kind:
        case "file":
            path.touch()
        case "dir":
            path.mkdir()
        case "symlink":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        ignored = error.errno == errno.ENOTSUP or (error.errno == errno.EPERM and name.startswith("user."))
        return False if ignored and (error.errno == errno.ENOTSUP or kind not in ("file", "dir")) else None
    return name not in (ACCESS, DEFAULT) or len(value) > len(acl())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="security.* needs root")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ATTRIBUTES)
def test_the_kernel_says_the_same(case: str, kind: str, tmp_path: Path) -> None:
    try:
        os.setxattr(tmp_path, "user.x", b"1")
        os.setxattr(tmp_path, ACCESS, LISTS["a user"])
        os.setxattr(tmp_path, CAPABILITY, capability(2, 4))
    except OSError:
        pytest.skip("the file system has no extended attributes, or this root may not set them")
    assert ask_here(*ATTRIBUTES[case], kind) == ask_kernel(*ATTRIBUTES[case], kind, tmp_path / "x")


def test_what_is_not_even_tried() -> None:
    assert ask_here("trusted." + "n" * 300, bytes(70000), "file") is False


@pytest.mark.parametrize("engine", ["containerd", "oci"])
def test_what_is_refused_is_still_shown(engine: str) -> None:
    """By the image-spec's rule, with the attributes that the layer has."""
    found = index_layer(
        [layer(xattrs(directory("d"), user_x=b"1"), xattrs(file("d/a", b"1"), security_capability=b"x"))]
    )
    merged = merge_layers([found], engine=engine)
    assert [(each.path, each.code, each.rule) for each in merged.refused] == [("/d/a", "bad-xattr", "X12")]
    assert merged["/d/a"].xattrs == {"security.capability": b"x"}


@pytest.mark.parametrize(("target", "refused"), [("l", []), ("f", ["/g"])], ids=["symlink", "file"])
def test_a_hard_link_sets_attributes_of_its_target(target: str, refused: list[str]) -> None:
    link = xattrs(hardlink("g", target), system_posix_acl_default=LISTS["the mode"])
    found = index_layer([layer(directory("d"), symlink("l", "d"), file("f"), link)])
    assert [each.path for each in merge_layers([found]).refused] == refused
