"""Coverage-guided fuzzing of the readers: `python -m tests.fuzz.coverage tar|compression|documents|tarsplit|archive`.

Needs atheris (`pip install atheris`, up to Python 3.13), which is no dependency of the project. Options after the name
go to libFuzzer (`-max_total_time=3600`, a corpus directory). Without atheris hypothesis draws the bytes.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarlayers.errors import TarlayersError
from tarlayers.formats import documents
from tarlayers.formats.assembly import disassemble
from tarlayers.formats.compression import open_plain
from tarlayers.formats.tarsplit import decode_records, walk_records
from tarlayers.layer import index_layer
from tarlayers.opening import open_images
from tests.build import COMPRESS, pack
from tests.mutations import BASE, seeds
from tests.questions import LIMITS

PARSERS = (
    documents.parse_index, documents.parse_manifest, documents.parse_config, documents.parse_docker_manifest,
    documents.parse_repositories, documents.parse_v1_image,
)  # fmt: skip


def read_tar(data: bytes) -> None:
    index_layer((data,), contents=True, limits=LIMITS)
    for _ in disassemble((data,), LIMITS):
        pass


def read_compressed(data: bytes) -> None:
    for _ in open_plain((data[:7], data[7:]), LIMITS):
        pass


def read_documents(data: bytes) -> None:
    for parse in PARSERS:
        with suppress(TarlayersError):
            parse(data, "document")


def read_split(data: bytes) -> None:
    for _ in walk_records(decode_records((data,), LIMITS), LIMITS):
        pass


def read_archive(data: bytes) -> None:
    for image in open_images(io.BytesIO(data), limits=LIMITS).images:
        for layer in image.layers:
            with suppress(TarlayersError):
                layer.read()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    # A reader, and the bytes to begin with.
    "tar": (read_tar, lambda: [BASE]),
    "compression": (read_compressed, lambda: [compress(BASE) for compress in COMPRESS.values()]),
    "documents": (read_documents, lambda: [d for f in seeds().values() for d in f.values() if isinstance(d, bytes)]),
    "tarsplit": (read_split, lambda: [b'{"type":2,"payload":"AA==","position":0}\n']),
    "archive": (read_archive, lambda: [pack(files) for files in seeds().values()]),
}


def one(name: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        with suppress(TarlayersError):
            TARGETS[name][0](data)

    return read


def draw_bytes(name: str, examples: int) -> None:
    """Without coverage: pieces of what is whole, put together otherwise."""
    whole = TARGETS[name][1]()
    piece = st.one_of(
        st.binary(max_size=600),
        st.builds(lambda data, a, b: data[min(a, b) : max(a, b)], st.sampled_from(whole), *[st.integers(0, 9000)] * 2),
    )

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(piece, min_size=1, max_size=6).map(b"".join))
    def check(data: bytes) -> None:
        one(name)(data)

    check()


def main() -> None:
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.coverage {'|'.join(TARGETS)} [libFuzzer options]")
    try:
        import atheris  # noqa: PLC0415 # where it is installed
    except ImportError:
        print(f"{name}: no atheris here, hypothesis draws the bytes", flush=True)
        draw_bytes(name, 20_000)
        return
    atheris.instrument_all()
    atheris.Setup(sys.argv, one(name))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
