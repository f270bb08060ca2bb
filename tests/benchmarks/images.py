"""Images to measure with, made on the spot: many small files, few large ones, many layers, a distribution's tree.

python -m tests.benchmarks.images DIRECTORY [NAME ...]
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.build import Image, archive, directory, file, image, layer, symlink, whiteout

FORMS = ("docker-20", "oci-gzip", "oci-zstd")


def text(source: random.Random, size: int) -> bytes:
    """Bytes that compress about as well as programs do."""
    words = [source.randbytes(source.choice((3, 6, 12))) for _ in range(400)]
    made = b"".join(source.choices(words, k=size // 6 + 1))
    return made[:size]


def small_files(source: random.Random, count: int, size: int = 300) -> Image:
    def tree(start: int, stop: int) -> Iterator:
        for i in range(start, stop):
            if i % 50 == 0:
                yield directory(f"usr/share/pkg{i // 50}")
            yield file(f"usr/share/pkg{i // 50}/file{i}.txt", text(source, size))

    changed = [file(f"usr/share/pkg{i // 50}/file{i}.txt", b"new") for i in range(0, count, 40)]
    gone = [whiteout(f"usr/share/pkg{i // 50}/file{i}.txt") for i in range(1, count, 90)]
    return image(layer(*tree(0, count // 2)), layer(*tree(count // 2, count)), layer(*changed), layer(*gone))


def large_files(source: random.Random, count: int, size: int = 64 << 20) -> Image:
    block = text(source, 4 << 20)
    return image(*(layer(file(f"data/part{i}", block * (size // len(block)))) for i in range(count)))


def many_layers(source: random.Random, count: int) -> Image:
    return image(*(layer(file(f"srv/step{i}", text(source, 2000)), directory("srv")) for i in range(count)))


def like_a_distribution(source: random.Random, count: int, *, upgraded: bool = False) -> Image:
    """Sizes are spread as in /usr: most files small, few large, some links. An upgrade shares all but two layers."""

    def members(start: int, stop: int) -> Iterator:
        for i in range(start, stop):
            where = f"usr/lib/d{i // 400}/p{i // 20}"
            if i % 20 == 0:
                yield directory(where)
            size = int(source.lognormvariate(8, 1.8))
            yield symlink(f"{where}/l{i}", "../target") if i % 12 == 0 else file(f"{where}/f{i}", text(source, size))

    parts = [layer(*members(count * i // 4, count * (i + 1) // 4)) for i in range(4)]
    if upgraded:
        parts[3] = layer(*members(count * 3 // 4, count))  # the source has moved on: other contents
        parts.append(layer(*members(count, count + count // 8)))
    return image(*parts)


IMAGES: dict[str, Callable[[random.Random], Image]] = {
    "small": lambda source: small_files(source, 60_000),
    "large": lambda source: large_files(source, 4),
    "layers": lambda source: many_layers(source, 100),
    "distribution": lambda _source: like_a_distribution(random.Random("distribution"), 20_000),
    "distribution-next": lambda _source: like_a_distribution(random.Random("distribution"), 20_000, upgraded=True),
}


def build(directory: Path, names: list[str]) -> dict[tuple[str, str], Path]:
    """Write each image in each form, unless it is there; give the paths by image and form."""
    paths = {}
    for name in names:
        wanted = {form: directory / f"{name}.{form}.tar" for form in FORMS}
        if not all(path.exists() for path in wanted.values()):
            made = IMAGES[name](random.Random(name))
            for form, path in wanted.items():
                path.write_bytes(archive(form, made))
        paths |= {(name, form): path for form, path in wanted.items()}
    return paths


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2:] or list(IMAGES))
