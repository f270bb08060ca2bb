"""Answers about saved container images, without a daemon, without root, without unpacking.

    import tarlayers
    image = tarlayers.open_image("app.tar")            # also a binary stream
    rootfs = tarlayers.merge_layers(image.layers)      # Mapping[str, Entry]

The house has floors, and a module imports from lower floors only; `tests/test_floors.py` reads this table:

    0  errors digest limits linux nouns severity stdio threads version
    1  formats
    2  entry content header outline sources
    3  layer stores windows image recordedimage reference imagearchive opening
    4  imageindex merging rootfs trace comparison imagepair shipped toc finding
    5  analysis export extract
    6  render
    7  cli

Inside a floor these edges are meant, and no others:

    digest -> errors
    limits -> errors
    formats.tar_member -> formats.tar_fields
    formats.tar_headers -> formats.tar_fields formats.tar_member
    formats.tar_writer -> formats.tar_fields
    formats.tar_bytes -> formats.tar_feed formats.tar_fields formats.tar_headers
    formats.tar -> formats.tar_bytes formats.tar_feed formats.tar_fields formats.tar_headers formats.tar_member
    formats.tarsplit -> formats.tar
    formats.assembly -> formats.crc64 formats.tar formats.tarsplit
    formats.zstd_frames -> formats.magic formats.stored
    formats.compression -> formats.magic formats.stored formats.zstd_frames
    formats.toc -> formats.tar formats.compression
    formats.entrycolumns -> formats.columns formats.tar formats.whiteout
    formats.tlx -> formats.columns formats.entrycolumns formats.compression formats.magic
    formats.json_fields -> formats.json_text
    formats.document_fields -> formats.json_fields
    formats.documents -> formats.document_fields formats.json_fields formats.json_text
    formats.config_keys -> formats.document_fields formats.documents formats.json_fields
    formats.secrets -> formats.glob
    formats.toml_values -> formats.toml_lines
    formats.policy -> formats.sizes formats.toml_values
    formats.dive_rules -> formats.policy formats.sizes
    content -> entry
    header -> entry
    outline -> entry
    sources.* -> sources.archive sources.blob sources.members sources.dataroot sources.filetree
    sources.* -> sources.layout sources.names sources.inventory
    sources.tartree -> entry
    sources.skopeo_dir -> sources.oci
    sources.locate -> sources.oci sources.docker_archive sources.skopeo_dir
    sources.agreement -> sources.locate
    stores.* -> layer stores.store
    stores.cachedstore -> stores.layerfile
    stores.rootstore -> stores.upperdir
    stores.losses -> stores.rootstore
    image -> layer stores.store windows
    recordedimage -> image stores.store
    reference -> image
    imagearchive -> image recordedimage stores.*
    opening -> image imagearchive reference stores.*
    merging.* -> merging.tree
    merging.unpack -> merging.inode merging.lower merging.rootpath
    merging.inplace -> merging.inode
    merging.overlay -> merging.unpack
    merging.reach -> merging.unpack
    rootfs -> merging.tree
    merging.engine -> rootfs merging.*
    trace -> rootfs merging.*
    comparison -> merging.*
    imagepair -> comparison rootfs merging.engine
    shipped -> rootfs trace merging.*
    extract -> export
    analysis.diff -> analysis.alignment analysis.filediff
    analysis.patch -> analysis.alignment
    analysis.filediff -> analysis.moves
    analysis.verify -> analysis.verify_blobs analysis.verify_documents
    analysis.lint.* -> analysis.lint.*
    analysis.policy.* -> analysis.policy.*
    analysis.policy.evidence -> analysis.dive analysis.lint.report analysis.secrets
    analysis.policy.evidence -> analysis.verify analysis.verify_root
    analysis.policy.paths -> analysis.secrets
    render.* -> render.*
    cli.* -> cli.*
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tarlayers.analysis.blame import ImageBlame as ImageBlame
    from tarlayers.analysis.blame import blame_paths as blame_paths
    from tarlayers.analysis.changes import ImageChanges as ImageChanges
    from tarlayers.analysis.changes import list_changes as list_changes
    from tarlayers.analysis.diff import ImageDiff as ImageDiff
    from tarlayers.analysis.diff import diff_images as diff_images
    from tarlayers.analysis.filediff import FileChange as FileChange
    from tarlayers.analysis.hidden import HiddenFile as HiddenFile
    from tarlayers.analysis.hidden import list_hidden as list_hidden
    from tarlayers.analysis.lint.report import LintReport as LintReport
    from tarlayers.analysis.lint.report import lint_image as lint_image
    from tarlayers.analysis.log import PathLog as PathLog
    from tarlayers.analysis.log import trace_path as trace_path
    from tarlayers.analysis.patch import patch_file as patch_file
    from tarlayers.analysis.policy.evaluation import check_image as check_image
    from tarlayers.analysis.policy.evidence import Evidence as Evidence
    from tarlayers.analysis.policy.verdict import Verdict as Verdict
    from tarlayers.analysis.secrets import Secret as Secret
    from tarlayers.analysis.secrets import find_secrets as find_secrets
    from tarlayers.analysis.verify import verify_archive as verify_archive
    from tarlayers.analysis.verify_root import verify_root as verify_root
    from tarlayers.analysis.waste import Waste as Waste
    from tarlayers.analysis.waste import measure_waste as measure_waste
    from tarlayers.digest import Digest as Digest
    from tarlayers.digest import chain_ids as chain_ids
    from tarlayers.entry import Entry as Entry
    from tarlayers.errors import ContentAbsent as ContentAbsent
    from tarlayers.errors import DestinationRefused as DestinationRefused
    from tarlayers.errors import LimitExceeded as LimitExceeded
    from tarlayers.errors import MalformedInput as MalformedInput
    from tarlayers.errors import MalformedPolicy as MalformedPolicy
    from tarlayers.errors import NoSuchImage as NoSuchImage
    from tarlayers.errors import NoSuchLayer as NoSuchLayer
    from tarlayers.errors import NoSuchPath as NoSuchPath
    from tarlayers.errors import ReadFailed as ReadFailed
    from tarlayers.errors import TarlayersError as TarlayersError
    from tarlayers.errors import UnsupportedInput as UnsupportedInput
    from tarlayers.export import export_rootfs as export_rootfs
    from tarlayers.export import read_files as read_files
    from tarlayers.extract import extract_paths as extract_paths
    from tarlayers.finding import Finding as Finding
    from tarlayers.finding import VerifyReport as VerifyReport
    from tarlayers.formats.documents import Config as Config
    from tarlayers.formats.documents import Platform as Platform
    from tarlayers.formats.policy import Policy as Policy
    from tarlayers.formats.policy import parse_policy as parse_policy
    from tarlayers.image import Image as Image
    from tarlayers.image import Layer as Layer
    from tarlayers.image import find_layer as find_layer
    from tarlayers.image import load_layers as load_layers
    from tarlayers.imagearchive import ImageArchive as ImageArchive
    from tarlayers.layer import LayerIndex as LayerIndex
    from tarlayers.layer import index_layer as index_layer
    from tarlayers.limits import NO_LIMITS as NO_LIMITS
    from tarlayers.limits import Limits as Limits
    from tarlayers.merging.engine import merge_layers as merge_layers
    from tarlayers.opening import Source as Source
    from tarlayers.opening import open_image as open_image
    from tarlayers.opening import open_images as open_images
    from tarlayers.reference import choose_image as choose_image
    from tarlayers.rootfs import Node as Node
    from tarlayers.rootfs import RootFS as RootFS
    from tarlayers.shipped import Shipment as Shipment
    from tarlayers.shipped import trace_files as trace_files
    from tarlayers.sources.layercache import LayerCache as LayerCache
    from tarlayers.trace import LayerTrace as LayerTrace
    from tarlayers.trace import trace_layers as trace_layers

    __version__: str

_HOME = {
    "analysis.blame": "blame_paths ImageBlame",
    "analysis.changes": "ImageChanges list_changes",
    "analysis.diff": "diff_images ImageDiff",
    "analysis.filediff": "FileChange",
    "analysis.hidden": "HiddenFile list_hidden",
    "analysis.lint.report": "lint_image LintReport",
    "analysis.log": "PathLog trace_path",
    "analysis.patch": "patch_file",
    "analysis.policy.evaluation": "check_image",
    "analysis.policy.evidence": "Evidence",
    "analysis.policy.verdict": "Verdict",
    "analysis.secrets": "find_secrets Secret",
    "analysis.verify": "verify_archive",
    "analysis.verify_root": "verify_root",
    "analysis.waste": "measure_waste Waste",
    "digest": "Digest chain_ids",
    "entry": "Entry",
    "errors": "ContentAbsent DestinationRefused LimitExceeded MalformedInput MalformedPolicy NoSuchImage "
    "NoSuchLayer NoSuchPath ReadFailed TarlayersError UnsupportedInput",
    "export": "export_rootfs read_files",
    "extract": "extract_paths",
    "finding": "Finding VerifyReport",
    "formats.documents": "Config Platform",
    "formats.policy": "parse_policy Policy",
    "image": "Image Layer find_layer load_layers",
    "imagearchive": "ImageArchive",
    "layer": "index_layer LayerIndex",
    "limits": "Limits NO_LIMITS",
    "merging.engine": "merge_layers",
    "opening": "open_image open_images Source",
    "reference": "choose_image",
    "rootfs": "Node RootFS",
    "shipped": "Shipment trace_files",
    "sources.layercache": "LayerCache",
    "trace": "LayerTrace trace_layers",
}
"""The public names, by the module that defines each."""

__all__ = sorted(name for names in _HOME.values() for name in names.split())  # noqa: PLE0605 # a list of names


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the command line starts without what it does not need."""
    if name == "__version__":
        return import_module("tarlayers.version").find_version()
    for module, names in _HOME.items():
        if name in names.split():
            return getattr(import_module(f"tarlayers.{module}"), name)
    raise AttributeError(f"module 'tarlayers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
