"""Every finding of `lint`: its code, how bad it is, the rule of docs/semantics.md, and what each family of engines
shows. The table is the truth; docs/lint.md says the same at length, and a test compares the two.

An error is what containerd (and so Docker 29) refuses, a warning what engines refuse or show differently, a note
what all of them show alike but a user may want to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

FAMILIES = ("containerd", "overlay2", "podman", "in-place", "umoci")
"""containerd and Docker 29 as it comes; Docker's overlay2 graph driver; podman, buildah, CRI-O (containers/storage
overlay); what unpacks onto a copy of the layers below (vfs drivers, containerd's native snapshotter); umoci.
"""


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding."""

    code: str
    severity: str
    rule: str | None
    """Of docs/semantics.md; None for what is no matter of engines. A finding may name a neighbouring rule."""
    title: str
    engines: Mapping[str, str]
    """What each of FAMILIES does; empty where all do the same."""


class LintFinding(NamedTuple):
    """One thing found in one layer."""

    code: str
    severity: str
    layer: int
    path: str | None
    """Absolute; None for what is about the layer's blob."""
    message: str
    rule: str | None

    @property
    def engines(self) -> Mapping[str, str]:
        """What each family of engines does with it."""
        return CODES[self.code].engines


def found(code: str, layer: int, path: str | None, message: str, rule: str | None = None) -> LintFinding:
    """Make a finding of the kind that the table has under `code`; the root's path is `/`."""
    kind = CODES[code]
    return LintFinding(code, kind.severity, layer, "/" if path == "" else path, message, rule or kind.rule)


def _code(code: str, severity: str, rule: str | None, title: str, *engines: str) -> Code:
    if len(engines) == 1:
        engines *= len(FAMILIES)
    return Code(code, severity, rule, title, dict(zip(FAMILIES, engines, strict=bool(engines))))


_TABLE = (
    # -- the blob ------------------------------------------------------------------------------------
    _code("L001", "error", "L6", "a layer that cannot be read", "refuses"),
    _code("L002", "error", "L9", "a compression that containerd does not undo",
          "refuses", "unpacks", "unpacks", "refuses (containerd); unpacks (vfs)", "refuses"),
    _code("L003", "error", "L9", "a media type that is no layer's",
          "refuses", "unpacks", "unpacks", "refuses (containerd); unpacks (vfs)", "refuses"),
    _code("L004", "warning", "L7", "bytes after the gzip stream",
          "refuses where unpigz is missing", "refuses where unpigz is missing", "refuses (4.3)",
          "refuses (podman 4.3), or where unpigz is missing", "refuses"),
    _code("L005", "warning", "L8", "a skippable zstd frame comes first",
          "unpacks", "unpacks", "refuses", "refuses (podman)", "unpacks"),
    _code("L006", "note", "L8", "zstd compression",
          "unpacks", "unpacks (20.10 refuses)", "unpacks", "unpacks (Docker 20.10 refuses)", "unpacks (0.4 refuses)"),
    _code("L007", "warning", "L9", "a media type that names another compression",
          "unpacks", "unpacks", "unpacks", "unpacks", "refuses"),
    _code("L008", "note", "L9", "a Docker media type",
          "unpacks", "unpacks", "unpacks", "unpacks", "refuses"),
    _code("L009", "warning", "L7", "gzip flags that mean nothing",
          "refuses where unpigz is installed", "refuses where unpigz is installed", "refuses where unpigz is installed",
          "refuses where unpigz is installed", "unpacks"),
    # -- whiteouts and opaque markers ----------------------------------------------------------------
    _code("L010", "error", "W3", "a whiteout of what the same layer has",
          "refuses", "refuses", "refuses", "deletes the new entry", "keeps the new entry"),
    _code("L011", "error", "W5", "an entry below a directory that the same layer whites out",
          "refuses", "refuses", "refuses", "makes the directory anew", "makes the directory anew"),
    _code("L012", "error", "W10", "a whiteout that names no file",
          "refuses", "refuses", "refuses", "deletes the directory it stands in (vfs)",
          "refuses (0.4), or empties the directory"),
    _code("L013", "warning", "W4", "a directory removed and made again in one layer",
          "lower contents show through", "lower contents show through", "lower contents show through",
          "lower contents are gone", "lower contents are gone"),
    _code("L014", "warning", "B1", "a whiteout in the first layer that acts on the layer itself",
          "deletes what the layer has made so far", "refuses", "refuses", "deletes what the layer has made so far",
          "keeps the entry"),
    _code("L015", "warning", "B2", "an opaque marker in the first layer that acts on the layer itself",
          "loses directories without an entry", "keeps them", "keeps them", "loses them", "keeps them"),
    _code("L016", "warning", "O2", "an opaque marker after entries whose directories have no entry",
          "keeps them", "keeps them", "keeps them", "loses them", "keeps them"),
    _code("L017", "warning", "O4", "an opaque marker at the root",
          "no effect", "no effect", "no effect", "hides all lower layers", "hides all lower layers"),
    _code("L018", "warning", "O1", "an opaque marker where a lower layer has a file",
          "makes a directory", "makes a directory", "makes a directory", "keeps the file, or refuses",
          "keeps the file"),
    _code("L019", "warning", "P1", "a marker in a directory that nobody has",
          "makes the directory", "makes the directory", "makes the directory", "makes the directory",
          "makes no directory"),
    _code("L020", "warning", "W11", "content below a name that aufs kept for itself",
          "shows it", "shows it", "shows it", "drops it (vfs)", "shows it"),
    # -- names ---------------------------------------------------------------------------------------
    _code("L021", "warning", "D1", "one path listed more than once",
          "the last wins", "refuses", "refuses", "refuses (vfs); the last wins", "the last wins"),
    _code("L022", "warning", "N3", "a name that climbs above the root",
          "stops at the root", "refuses (29)", "stops at the root", "refuses (Docker 29 vfs)",
          "stops at the root"),
    _code("L023", "warning", "N4", "the root as something else than a directory",
          "ignores it", "ignores it", "ignores it", "refuses (podman, Docker 20.10)", "refuses"),
    _code("L024", "note", "N4", "attributes of the root directory",
          "ignores them", "ignores them", "ignores them", "applies them (podman, Docker 20.10)", "applies them"),
    _code("L025", "error", "N5", "a name that no file system takes", "refuses"),
    # -- the directories above an entry --------------------------------------------------------------
    _code("L030", "error", "P6", "an entry below something that is no directory",
          "refuses", "refuses within one layer", "refuses within one layer", "refuses",
          "makes a directory (0.4 refuses)"),
    _code("L031", "error", "P4", "an entry below symlinks that lead nowhere",
          "refuses", "refuses within one layer", "refuses within one layer", "refuses", "refuses"),
    _code("L032", "warning", "P5", "an entry below a symlink of a lower layer",
          "a directory replaces the symlink", "a directory replaces the symlink",
          "a directory replaces the symlink", "writes where the symlink leads", "writes where the symlink leads"),
    _code("L033", "warning", "P2", "a lower directory that this layer does not list but writes into",
          "keeps its mode, owner, time and attributes", "resets it to 0755 0:0", "resets it to 0755 0:0",
          "keeps it", "keeps it"),
    _code("L034", "warning", "P6", "an entry below a file of a lower layer",
          "a directory replaces the file", "a directory replaces the file", "a directory replaces the file",
          "refuses", "gives the directory the file's attributes (0.4 refuses)"),
    _code("L035", "warning", "P4", "an entry below a symlink whose target the layer lacks",
          "makes the target", "makes the target (20.10 refuses)", "refuses",
          "refuses where no layer has it (podman, Docker 20.10)", "makes the target"),
    _code("L036", "warning", "P4", "an entry below a relative symlink that climbs above the root",
          "stops at the root", "refuses (29)", "stops at the root", "refuses (Docker 29 vfs)",
          "stops at the root"),
    _code("L037", "warning", "P3", "an entry below more than 40 symlinks",
          "follows up to 255", "refuses", "refuses", "refuses (vfs)", "follows them"),
    _code("L038", "error", "B3", "a listed directory that is gone when its time is set",
          "refuses", "refuses", "refuses", "refuses", "unpacks"),
    # -- hard links ----------------------------------------------------------------------------------
    _code("L040", "error", "H2", "a hard link to what the layer does not have before it",
          "refuses", "refuses", "refuses", "takes the target of a lower layer", "takes the target of a lower layer"),
    _code("L041", "error", "H6", "a hard link to a directory, or to nothing", "refuses"),
    _code("L042", "warning", "H3", "a hard link to what the layer whites out",
          "becomes a whiteout too", "becomes a whiteout too", "becomes a whiteout too", "refuses", "refuses"),
    _code("L043", "warning", "H7", "a hard link whose header has other metadata than its target",
          "the link's wins", "the link's wins", "the link's wins", "the link's wins", "the target's stays"),
    _code("L044", "warning", "H5", "a hard link to a symlink, with another time",
          "the link's time wins", "the symlink's time stays", "the symlink's time stays",
          "the symlink's time stays (vfs)", "the symlink's time stays"),
    _code("L045", "warning", "H4", "a hard link whose target climbs above the root",
          "stops at the root", "refuses (29)", "stops at the root", "refuses (Docker 29 vfs)",
          "stops at the root"),
    # -- inodes and attributes -----------------------------------------------------------------------
    _code("L050", "error", "X5", "a type of entry that no engine unpacks", "refuses"),
    _code("L051", "error", "X10", "a symlink to nothing, or to too much", "refuses"),
    _code("L052", "warning", "X4", "a character device 0:0",
          "is a whiteout", "is a whiteout", "is a whiteout", "is a device", "is a device"),
    _code("L053", "warning", "X2", "a trusted.* attribute",
          "ignores it", "applies it", "applies it", "ignores it; vfs keeps trusted.overlay.*", "applies it"),
    _code("L054", "warning", "X2", "a user.* attribute on a symlink",
          "ignores it", "sets it on the target (29)", "refuses", "refuses (podman vfs)", "refuses"),
    _code("L055", "warning", "X2", "an attribute of an unknown namespace",
          "ignores it", "refuses (29)", "ignores it", "refuses (Docker 29 vfs)", "ignores it"),
    _code("L056", "warning", "X2", "an attribute with an empty value",
          "sets it", "sets it (20.10 drops it)", "drops it (4.3)", "drops it (podman, Docker 20.10)", "drops it"),
    _code("L057", "warning", "X2", "an SELinux label",
          "applies it", "applies it", "drops it", "applies it (containerd, Docker); drops it (podman)", "drops it"),
    _code("L058", "warning", "T2", "a directory listed again without its lower attributes",
          "drops them", "drops them", "drops them", "keeps them (containerd, podman)", "drops them"),
    _code("L059", "warning", "X6", "a PAX global header",
          "ignores its records", "ignores its records", "ignores its records", "ignores its records", "refuses"),
    _code("L060", "warning", "X7", "a time before 1970 or after 2262",
          "sets 1970", "sets 1970", "sets 1970", "sets 1970", "hands it to the kernel"),
    _code("L061", "error", "X12", "an attribute that the kernel refuses", "refuses"),
    # -- what is visible and risky -------------------------------------------------------------------
    _code("L070", "note", None, "a set-uid or set-gid file"),
    _code("L071", "note", None, "a file with capabilities"),
    _code("L072", "note", None, "a file that everybody may write"),
    _code("L073", "note", None, "a directory that everybody may write, without the sticky bit"),
    # -- what is visible and not portable ------------------------------------------------------------
    _code("L080", "note", "N6", "a name that is not UTF-8"),
    _code("L081", "note", None, "names that differ in case alone"),
)  # fmt: skip

CODES: Mapping[str, Code] = {code.code: code for code in _TABLE}
"""Every code with its meaning, in the order of the codes."""

REFUSALS: Mapping[str, str] = {
    "W3": "L010", "W5": "L011", "W10": "L012", "N5": "L025", "P6": "L030", "P4": "L031", "P5": "L031", "B3": "L038",
    "H2": "L040", "H6": "L041", "X5": "L050", "X8": "L050", "X10": "L051",
    "X12": "L061",
}  # fmt: skip
"""The code of what containerd refuses in a layer, by rule."""
