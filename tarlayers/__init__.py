"""Answers about saved container images, without a daemon, without root, without unpacking.

    import tarlayers
    image = tarlayers.open_image("app.tar")            # also a binary stream
    rootfs = tarlayers.merge_layers(image.layers)      # Mapping[str, Entry]

The house has floors, and a module imports from lower floors only; `tests/test_floors.py` reads this table:

    0  errors digest limits
    1  formats
    2  sources
    3  layer store windows image reference imagearchive
    4  difference tree unpack inplace rootfs toc finding shipped imagepair
    5  analysis export extract
    6  render
    7  cli

Inside a floor these edges are meant, and no others:

    digest -> errors
    limits -> errors
    formats.tar -> formats.tar_fields
    formats.tarsplit -> formats.tar
    formats.assembly -> formats.crc64 formats.tar formats.tarsplit
    sources.contents -> sources.archive
    formats.toc -> formats.tar formats.compression
    sources.inventory -> sources.layout sources.names
    sources.oci -> sources.inventory sources.layout sources.names
    sources.docker_archive -> sources.inventory sources.layout sources.names
    sources.skopeo_dir -> sources.inventory sources.oci
    sources.locate -> sources.inventory sources.layout sources.oci sources.docker_archive sources.skopeo_dir
    sources.agreement -> sources.layout sources.locate
    formats.secrets -> formats.glob
    formats.config_keys -> formats.documents
    store -> layer
    windows -> layer
    image -> layer store windows
    reference -> image
    imagearchive -> image reference store
    unpack -> tree
    inplace -> tree
    rootfs -> difference tree unpack inplace
    shipped -> rootfs
    extract -> export
    analysis.lint.* -> analysis.lint.*
    imagepair -> rootfs
    render.* -> render.*
    cli.* -> cli.*
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarlayers.analysis.blame import blame_paths as blame_paths
    from tarlayers.analysis.changes import list_changes as list_changes
    from tarlayers.analysis.diff import diff_images as diff_images
    from tarlayers.analysis.lint.report import lint_image as lint_image
    from tarlayers.analysis.log import trace_path as trace_path
    from tarlayers.analysis.verify import verify_archive as verify_archive
    from tarlayers.digest import Digest as Digest
    from tarlayers.digest import chain_ids as chain_ids
    from tarlayers.errors import TarlayersError as TarlayersError
    from tarlayers.image import Image as Image
    from tarlayers.image import Layer as Layer
    from tarlayers.image import find_layer as find_layer
    from tarlayers.image import load_layers as load_layers
    from tarlayers.imagearchive import ImageArchive as ImageArchive
    from tarlayers.imagearchive import open_image as open_image
    from tarlayers.imagearchive import open_images as open_images
    from tarlayers.layer import Entry as Entry
    from tarlayers.layer import index_layer as index_layer
    from tarlayers.limits import Limits as Limits
    from tarlayers.reference import choose_image as choose_image
    from tarlayers.rootfs import RootFS as RootFS
    from tarlayers.rootfs import merge_layers as merge_layers
    from tarlayers.rootfs import trace_layers as trace_layers

_HOME = {
    "analysis.blame": "blame_paths",
    "analysis.changes": "list_changes",
    "analysis.diff": "diff_images",
    "analysis.lint.report": "lint_image",
    "analysis.log": "trace_path",
    "analysis.verify": "verify_archive",
    "digest": "Digest chain_ids",
    "errors": "TarlayersError",
    "image": "Image Layer find_layer load_layers",
    "imagearchive": "ImageArchive open_image open_images",
    "layer": "Entry index_layer",
    "limits": "Limits",
    "reference": "choose_image",
    "rootfs": "RootFS merge_layers trace_layers",
}
"""The public names, by the module that defines each."""

__all__ = sorted(name for names in _HOME.values() for name in names.split())  # noqa: PLE0605 # a list of names


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the command line starts without what it does not need."""
    for module, names in _HOME.items():
        if name in names.split():
            return getattr(import_module(f"tarlayers.{module}"), name)
    raise AttributeError(f"module 'tarlayers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
