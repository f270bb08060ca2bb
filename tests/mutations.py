"""Damage to archives: seeded, so that a number gives the same archive again.

    seed, kind, data = mutant(4711)     # what it was made of, what was done to it, the bytes

Seeds are the archives of testdata and one of every producer that `tests.flavours` knows. Damage is done to the bytes
of the archive as it lies there, to its layers (everything that holds their digests is set right again, so that the
damage is reached), or to its documents, with and without their digests set right.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

from tests.build import (
    BLOCK,
    COMPRESS,
    OCI,
    Files,
    Member,
    compact,
    device,
    directory,
    fifo,
    file,
    hardlink,
    image,
    layer,
    opaque,
    pack,
    sha256,
    symlink,
    tar,
    whiteout,
    with_checksum,
    xattrs,
)
from tests.edit import with_layers
from tests.flavours import PRODUCERS
from tests.lazy import estargz, zstd_chunked
from tests.paths import TESTDATA
from tests.splits import CONTENT, REGIONS, gnu_sparse, pax_sparse

# -- seeds -----------------------------------------------------------------------------------------

BASE_MEMBERS = (
    directory("etc"), file("etc/x", b"x" * 700, mtime=2.5), symlink("l", "etc"), file("n" * 130, b"long"),
    xattrs(file("a/b/c", b"deep"), user_x=b"1"), hardlink("h", "etc/x"), device("null", 1, 3), fifo("pipe"),
)  # fmt: skip
TOP_MEMBERS = (
    whiteout("etc/x"),
    opaque("a"),
    file("a/new", b"n" * 600),
    symlink("etc/up", "../l/x"),
    file("bad\udcff"),
)
BASE = layer(*BASE_MEMBERS)
TOP = layer(*TOP_MEMBERS)
SPARSE = (
    gnu_sparse(b"sparse", REGIONS, 5000, CONTENT)
    + tar([pax_sparse("one", REGIONS, 5000, CONTENT, "1.0"), pax_sparse("zero", REGIONS, 5000, CONTENT, "0.1")])
)  # fmt: skip
APP = image(BASE, TOP, SPARSE, names=("example.org/app:v1",), run={"Labels": {"a": "b"}})


@cache
def seeds() -> dict[str, Files]:
    """Every archive that is damaged, by name."""
    made = {name: producer.make([APP]) for name, producer in PRODUCERS.items()}
    made["estargz"] = with_layers(estargz(*BASE_MEMBERS[:4], file("z", b"z" * 9)))
    made["zstd-chunked"] = with_layers(zstd_chunked(file("a", b"1" * 99), symlink("b", "a")))
    made["bare"] = {"etc/": b"", "etc/x": b"x", "manifest.json": b"{}"}
    for path in sorted(TESTDATA.glob("*.tar")):
        made[path.stem] = read_tar(path.read_bytes())
    return made


def read_tar(data: bytes) -> Files:
    """A tar's members by name; links are left out."""
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        members = {member.name: opened.extractfile(member) for member in opened if member.isreg()}
        return {name: stream.read() for name, stream in members.items() if stream is not None}


# -- bytes -----------------------------------------------------------------------------------------

NUMBERS = (0, 1, 511, 513, 1 << 20, (1 << 33) - 1)
_FIELDS = {  # offset and width in a header
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12),
    "typeflag": (156, 1), "linkname": (157, 100), "magic": (257, 8), "major": (329, 8), "minor": (337, 8),
    "prefix": (345, 155),
}  # fmt: skip
_TYPES = b"\x000123456789ABDKLMNSVXgx\xff"
_NAMES = (b"", b"/", b"..", b"../../etc/x", b".wh.", b".wh..", b".wh..wh..opq", b"etc/.wh.x", b"a/./b//c", b"\x1b[2J",
          b"\xff\xfe", b"x" * 100, b"etc/x", b"manifest.json", b"index.json", b"l/x")  # fmt: skip
_MAGICS = (b"ustar\x0000", b"ustar  \0", bytes(8), b"ustar\0\0\0", b"star\0\0\0\0")


def flip_bytes(data: bytes, random: Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 3, 9))):
        out[random.randrange(len(out))] = random.randrange(256)
    return bytes(out)


def is_header(block: bytes) -> bool:
    return len(block) == BLOCK and block != bytes(BLOCK) and with_checksum(block)[148:154] == block[148:154]


def change_field(data: bytes, random: Random) -> bytes:
    """One field of one header takes a value that is legal somewhere; its checksum is right."""
    headers = [at for at in range(0, len(data), BLOCK) if is_header(data[at : at + BLOCK])]
    if not headers:
        return flip_bytes(data, random)
    at = random.choice(headers)
    name = random.choice(list(_FIELDS))
    start, width = _FIELDS[name]
    if name == "typeflag":
        value = bytes([random.choice(_TYPES)])
    elif name == "magic":
        value = random.choice(_MAGICS)
    elif name in ("name", "linkname", "prefix"):
        value = random.choice(_NAMES)
    else:
        value = random.choice(number_fields(width, random))
    block = bytearray(data[at : at + BLOCK])
    block[start : start + width] = value[:width].ljust(width, b"\0")
    return data[:at] + with_checksum(bytes(block)) + data[at + BLOCK :]


def number_fields(width: int, random: Random) -> list[bytes]:
    """Numbers at every edge, as octal and in base 256, and things that are none."""
    octal = [b"%0*o" % (width - 1, number) for number in NUMBERS if number < 8 ** (width - 1)]
    base256 = [b"\x80" + bytes(width - 2) + b"\x07", b"\xff" * width, b"\x80" + b"\x7f".rjust(width - 1, b"\xff")]
    base256 += [b"\x80" + (1 << 62).to_bytes(width - 1) if width > 8 else b"\xbf" + b"\xff" * (width - 1)]
    return [*octal, *base256, b"7" * width, b"9" * width, b"-1", b" " * width, b"", random.randbytes(width)]


def cut_at_block(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) // BLOCK + 1) * BLOCK]


def cut_anywhere(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data))]


def move_blocks(data: bytes, random: Random) -> bytes:
    """Some blocks are there twice, in each other's place, zero, or gone."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    a, b = random.randrange(len(blocks)), random.randrange(len(blocks))
    match random.randrange(5):
        case 0:
            blocks.insert(b, blocks[a])
        case 1:
            blocks[a], blocks[b] = blocks[b], blocks[a]
        case 2:
            blocks[a] = bytes(BLOCK)
        case 3:
            del blocks[a : a + random.choice((1, 2, 8))]
        case _:
            blocks[b:b] = blocks[a : a + random.choice((2, 3, 8))]
    return b"".join(blocks)


def append_junk(data: bytes, random: Random) -> bytes:
    return data + random.choice((b"\0", bytes(BLOCK), b"junk", b"\x1f\x8b\x08", data[: random.randrange(1, 4) * BLOCK]))


BYTES: dict[str, Callable[[bytes, Random], bytes]] = {
    "bytes": flip_bytes,
    "field": change_field,
    "cut at a block": cut_at_block,
    "cut anywhere": cut_anywhere,
    "blocks": move_blocks,
    "junk behind": append_junk,
}

# -- documents -------------------------------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1 << 63, (1 << 64) - 1, 1e308, 0.5, "", "\0", "/", "..", "../../etc/passwd",
    "\x1b[2J\u202e", "é" * 300, "x" * 5000, "sha256:", "sha256:" + "0" * 64, "sha512:" + "f" * 128, [], {}, [[]],
    [None], {"": None}, [{}], ["a", 1], {"digest": "sha256:" + "0" * 64}, "linux", "windows", "2024-13-99T99:99:99Z",
    "application/vnd.oci.image.index.v1+json", f"{OCI}.layer.v1.tar+zstd", f"{OCI}.layer.v1.tar+encrypted",
)  # fmt: skip

Slot = tuple[Any, Any]
"""A container and the key or index of one of its values."""


def slots(value: Any) -> Iterator[Slot]:
    todo = [value]
    while todo:
        at = todo.pop()
        pairs = list(at.items()) if isinstance(at, dict) else list(enumerate(at)) if isinstance(at, list) else []
        for key, inner in pairs:
            yield at, key
            todo.append(inner)


def change_document(raw: bytes, random: Random) -> bytes:
    """One value of a document is another, absent, there twice, or has another's place."""
    document = json.loads(raw)
    places = list(slots(document))
    if not places:
        return compact(random.choice(VALUES))
    at, key = random.choice(places)
    match random.randrange(8):
        case 0:
            del at[key]
        case 1 if isinstance(at, list):
            at.insert(key, json.loads(json.dumps(at[key])))
        case 2:
            other, name = random.choice(places)
            at[key] = json.loads(json.dumps(other[name]))
        case 3:
            for _ in range(random.choice((1, 2, 50))):
                at[key] = [at[key]] if random.random() < 0.5 else {"manifests": at[key]}
        case 4:
            text = compact(document)
            return text.replace(b"{", b'{"mediaType":"x","digest":"","Layers":[],', 1)  # keys that are there twice
        case 5:
            return flip_bytes(raw, random)
        case _:
            at[key] = random.choice(VALUES)
    return compact(document)


def is_document(content: object) -> bool:
    if not isinstance(content, bytes) or content[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def change_member(files: Files, random: Random) -> Files:
    names = [name for name, content in files.items() if is_document(content)]
    if not names:
        return files
    name = random.choice(names)
    content = files[name]
    assert isinstance(content, bytes)
    changed = change_document(content, random)
    return replace_member(files, name, changed) if random.random() < 0.7 else {**files, name: changed}


def replace_member(files: Files, name: str, data: bytes) -> Files:
    """Put other bytes in a member's place, and set right all that holds its digest."""
    old, new = name.rpartition("/")[2], sha256(data)
    if len(old) != 64:
        return {**files, name: data}
    renamed = name.replace(old, new)
    out = {renamed if key == name else key: data if key == name else content for key, content in files.items()}
    for key, content in files.items():
        if key != name and is_document(content) and isinstance(content, bytes) and old.encode() in content:
            document = json.loads(content.replace(old.encode(), new.encode()))
            for at, slot in slots(document):
                if slot == "digest" and at[slot] == f"sha256:{new}" and "size" in at:
                    at["size"] = len(data)
            out = replace_member(out, key, compact(document))
    return out


# -- layers ----------------------------------------------------------------------------------------


def change_layers(random: Random) -> bytes:
    """An image with a damaged layer that is all that its documents say."""
    damage = random.choice(list(BYTES.values()))
    index = random.randrange(len(APP.layers))
    layers = [damage(plain, random) if i == index else plain for i, plain in enumerate(APP.layers)]
    if random.random() < 0.2:
        layers.reverse()
    producer = PRODUCERS[random.choice(("docker-25", "oci-gzip", "docker-1.0", "podman skopeo", "oci-none"))]
    return pack(producer.make([image(*layers)]))


def change_blob(random: Random) -> bytes:
    """A damaged compressed blob whose digest is right."""
    compression = random.choice(("gzip", "zstd"))
    blob = COMPRESS[compression](BASE)
    damage = random.choice((flip_bytes, cut_anywhere, append_junk))
    files = PRODUCERS[f"oci-{compression}"].make([image(BASE)])
    name = f"blobs/sha256/{sha256(blob)}"
    return pack(replace_member(files, name, damage(blob, random)))


def odd_layer(random: Random) -> bytes:
    """Members that are each all right, in an order and under names that nobody would give them."""
    names = ("a", "a/b", "a/b/c", "b", "etc", "etc/x", "l", "l/x", "../a", "/a", "a/../b", "", ".", "a//b")

    def member() -> Member:
        name, target = random.choice(names), random.choice(names)
        make: Callable[[], Member] = random.choice((
            lambda: file(name, random.randbytes(random.randrange(3))), lambda: directory(name),
            lambda: symlink(name, target), lambda: hardlink(name, target), lambda: whiteout(name),
            lambda: opaque(name), lambda: device(name, 0, 0), lambda: fifo(name),
            lambda: xattrs(file(name), user_x=b"1"), lambda: file(name, mtime=-1.5, uid=1 << 40),
        ))  # fmt: skip
        return make()

    layers = [layer(*(member() for _ in range(random.randrange(9)))) for _ in range(random.randrange(1, 4))]
    return pack(PRODUCERS["docker-25"].make([image(*layers)]))


# -- all together ----------------------------------------------------------------------------------


def mutant(number: int) -> tuple[str, str, bytes]:
    """The damaged archive of that number: of which seed, by what, and its bytes."""
    random = Random(number)
    name = random.choice(list(seeds()))
    kind = random.choice((*BYTES, "documents", "documents", "documents", "layers", "layers", "blob", "odd layers"))
    if kind == "layers":
        return "app", kind, change_layers(random)
    if kind == "blob":
        return "app", kind, change_blob(random)
    if kind == "odd layers":
        return "odd", kind, odd_layer(random)
    if kind == "documents":
        files = seeds()[name]
        for _ in range(random.choice((1, 1, 2))):
            files = change_member(files, random)
        return name, kind, pack(files)
    return name, kind, BYTES[kind](pack(seeds()[name]), random)
