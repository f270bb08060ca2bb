"""Is a data root what it says? Chain IDs, sizes, and every unpacked file against the headers that were kept of it.

The layer's tar is put together once: its digest has to be the diff ID, and the checksum of each file the one that
tar-split has. Then the files that lie there are held against those that should. Codes: docs/findings-data-roots.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from tarlayers.digest import Digest
from tarlayers.entry import Entry
from tarlayers.errors import TarlayersError
from tarlayers.finding import Checked, CheckedBlob, Finding, VerifyReport, make_finding
from tarlayers.formats.assembly import ContentMeter, is_unmapped, store_content
from tarlayers.formats.tarsplit import Piece
from tarlayers.imagearchive import ImageArchive
from tarlayers.merging.tree import Effort
from tarlayers.merging.unpack import LayerTree, unpack_layer
from tarlayers.nouns import count_noun
from tarlayers.severity import rank
from tarlayers.sources.dataroot import DataRoot, StoredLayer
from tarlayers.sources.filetree import FileStatus, walk_files
from tarlayers.stores.losses import Losses, find_losses, is_opaque
from tarlayers.stores.rootstore import RootStore
from tarlayers.threads import count_cores, run_threads


def verify_root(archive: ImageArchive, *, workers: int | None = None) -> VerifyReport:
    """Check all that a data root claims, several layers at a time.

    ValueError when the archive is none.
    """
    if archive.root is None or not isinstance(archive.store, RootStore):
        raise ValueError("the archive is no data root")
    return _Verifying(archive, archive.root, archive.store).run(workers or count_cores())


class _Verifying:
    """The state of verifying one root."""

    def __init__(self, archive: ImageArchive, root: DataRoot, store: RootStore) -> None:
        self._archive = archive
        self._root = root
        self._store = store
        self._users = _name_users(archive)

    def run(self, workers: int) -> VerifyReport:
        findings = [make_finding("V106", fault.place, None, None, fault.reason) for fault in self._root.faults]
        findings += self._check_documents()
        findings += self._check_images()
        losses = self._find_losses()
        findings += [make_finding("V110", self._archive.path, None, None, text) for text in losses.describe()]
        layers = list(self._root.layers.values())
        checks = [_LayerCheck(self._root, self._store, layer, self._users.get(layer.name), losses) for layer in layers]
        run_threads(_LayerCheck.run, checks, workers=workers)
        for check in checks:
            findings += check.findings
        size = sum(check.size for check in checks)
        findings.sort(key=lambda finding: rank(finding.severity))
        checked = Checked(len(self._root.documents) + len(layers), len(layers), size)
        blobs = [
            CheckedBlob(layer.name, self._users.get(layer.name, ""), check.size, check.ok)
            for layer, check in zip(layers, checks, strict=True)
        ]
        return VerifyReport(checked, tuple(findings), tuple(blobs))

    def _find_losses(self) -> Losses:
        try:
            return find_losses(self._store, self._root.layers)
        except TarlayersError:
            return Losses(False, False, False, False)  # the layer's own check names what cannot be read

    def _check_documents(self) -> Iterator[Finding]:
        for claim in self._root.claims:
            data = self._root.documents.get(claim.blob or "")
            if data is None:
                yield make_finding("V106", claim.place, claim.digest, None, f"a {claim.role} that the root lacks")
                continue
            computed = Digest.of(data, claim.digest.algorithm) if claim.digest is not None else None
            if computed != claim.digest:
                message = "the document has another digest than its name"
                yield make_finding("V001", claim.place, claim.digest, computed, message)
            if claim.size is not None and claim.size != len(data):
                yield make_finding("V002", claim.place, claim.size, len(data), "the document has another size")

    def _check_images(self) -> Iterator[Finding]:
        said: set[Digest | None] = set()
        for image in (*self._archive.images, *self._archive.unlisted):
            for layer, chain_id in zip(image.layers, image.chain_ids, strict=True):
                own = layer.on_disk is not None and layer.on_disk.role != "image"
                if layer.unreadable == "absent" and not own and chain_id not in said:
                    said.add(chain_id)
                    message = f"the root has no such layer (chain ID {chain_id})"
                    yield make_finding(
                        "V107", f"{image.name}: layer {layer.index}", layer.claimed_diff_id, None, message
                    )


class _LayerCheck:
    """One layer, as it is described and as it lies on disk."""

    def __init__(self, root: DataRoot, store: RootStore, layer: StoredLayer, user: str | None, losses: Losses) -> None:
        self._root = root
        self._store = store
        self._layer = layer
        self._user = f"{user}: " if user else ""
        self._place = f"{self._user}{layer.name}"
        self._losses = losses
        self._altered: set[int] = set()
        self.findings: list[Finding] = []
        self.size = 0
        """Bytes of the layer's tar that were put together."""

    @property
    def ok(self) -> bool:
        """No finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def run(self) -> _LayerCheck:
        self._check_chain()
        layer = self._layer
        if layer.tar_split is None:
            self._add(
                "V109", self._place, layer.claimed_diff_id, None, "no tar-split: nothing says what it should hold"
            )
            return self
        try:
            entries = self._store.index(layer.name).entries
            tree = unpack_layer(entries, 1, effort=Effort(self._store.limits))
            self._check_size(tree)
            if layer.diff is None:
                message = f"the copy lacks its files ({layer.cache_id}): headers alone were read"
                self._add("V109", self._place, layer.claimed_diff_id, None, message)
                return self
            self._check_contents()
            self._check_files(tree, layer.diff)
        except TarlayersError as error:
            self._add("V106", self._place, None, None, f"cannot be read: {error}")
        return self

    def _add(self, code: str, place: str, claimed: object, computed: object, message: str) -> None:
        self.findings.append(make_finding(code, place, claimed, computed, message))

    def _add_file(self, code: str, path: str, claimed: object, computed: object, message: str) -> None:
        self._add(code, f"{self._user}{self._layer.diff}{path}", claimed, computed, message)

    # -- what the root says ------------------------------------------------------------------------

    def _check_chain(self) -> None:
        layer = self._layer
        below = self._root.layers.get(layer.parent) if layer.parent is not None else None
        if layer.parent is not None and below is None:
            self._add("V107", self._place, layer.parent, None, "its parent is not in the root")
        if layer.claimed_chain_id is None or layer.claimed_diff_id is None:
            return
        computed = layer.claimed_diff_id
        if layer.parent is not None:
            chain = below.claimed_chain_id if below is not None else f"sha256:{layer.parent.rpartition('/')[2]}"
            computed = Digest.of(f"{chain} {layer.claimed_diff_id}".encode())
        if computed != layer.claimed_chain_id:
            message = "the directory is not called by the chain ID of its parent and diff"
            self._add("V104", self._place, layer.claimed_chain_id, computed, message)

    def _check_size(self, tree: LayerTree) -> None:
        layer = self._layer
        if layer.claimed_size is None:
            return
        index = self._store.index(layer.name)
        sizes = [_disk_size(tree), index.census.content_size] if layer.size_of == "files" else [index.plain_size]
        if layer.claimed_size not in sizes:
            message = f"recorded as {count_noun(layer.claimed_size, 'byte')}, but its headers say {sizes[0]}"
            self._add("V105", self._place, layer.claimed_size, sizes[0], message)

    # -- contents ----------------------------------------------------------------------------------

    def _check_contents(self) -> None:
        """Put the tar together, each file's checksum on the way; what is wrong with a file leaves no tar."""
        claimed = self._layer.claimed_diff_id
        algorithm = claimed.algorithm if claimed is not None else "sha256"
        hasher: hashlib._Hash | None = hashlib.new(algorithm)
        for piece in self._store.pieces(self._layer.name):
            whole = self._check_content(piece, hasher)
            if not whole:
                hasher = None
        computed = Digest(algorithm, hasher.hexdigest()) if hasher is not None else None
        if computed is not None and claimed is not None and claimed != computed:
            message = "put together from its headers and files, the layer has another digest than its diff ID"
            self._add("V003", self._place, claimed, computed, message)

    def _check_content(self, piece: Piece, hasher: hashlib._Hash | None) -> bool:
        """Hash one member; False when its content is not there to be hashed."""
        if hasher is not None:
            hasher.update(piece.raw)
        self.size += len(piece.raw)
        if piece.member is None or piece.record is None or piece.record.crc64 is None:
            return True
        member = piece.member
        try:
            blob = self._store.find_file(self._layer, member.name.decode("utf-8", "surrogateescape"))
        except TarlayersError:
            return False  # said when the files are looked at
        self.size += member.stored
        meter = ContentMeter(piece.record.size)
        content: Iterable[bytes | int] = meter.watch(blob.chunks())
        if is_unmapped(member):
            message = "the map of a sparse file is not in its tar-split: no tar, and no diff ID, can be made of it"
            self._add("V109", self._place, self._layer.claimed_diff_id, None, message)
            hasher = None
        for chunk in store_content(member, content) if not is_unmapped(member) else content:
            if hasher is not None and isinstance(chunk, bytes):
                hasher.update(chunk)
        if fault := meter.judge(piece.record):
            self._altered.add(member.offset)
            claimed, computed = f"crc64:{piece.record.crc64:016x}", f"crc64:{meter.crc64:016x}"
            self._add_file("V101", blob.name[len(self._layer.diff or "") :], claimed, computed, f"altered: {fault}")
        return not is_unmapped(member) and blob.size == member.size

    # -- files -------------------------------------------------------------------------------------

    def _check_files(self, tree: LayerTree, diff: str) -> None:
        for children in tree.dirs.values():
            for path, entry in children.items():
                status = self._root.tree.status(f"{diff}{path}")
                if status is None:
                    self._note_missing(path, entry)
                else:
                    self._check_file(path, entry, status)
        if not self._layer.only_own:
            return  # lower files lie there too, and nothing marks what is hidden
        for directory in sorted(tree.opaque):
            if not self._losses.opaque and not is_opaque(self._root.tree, f"{diff}{directory}"):
                self._add_file("V101", directory, "opaque", None, "is no longer opaque: lower files show through")
        self._note_extra(tree, diff)

    def _note_missing(self, path: str, entry: Entry) -> None:
        if self._is_lost(entry):
            return
        what = "a whiteout" if entry.type == "whiteout" else f"a {entry.type}"
        self._add_file("V102", path, entry.type, None, f"{what} of the layer is missing")

    def _is_lost(self, entry: Entry) -> bool:
        """Say whether the copy has lost all files of this kind."""
        if entry.type == "whiteout":
            return self._losses.whiteouts or not self._layer.only_own
        return entry.type in ("char", "block") and self._losses.devices

    def _check_file(self, path: str, entry: Entry, status: FileStatus) -> None:
        if entry.type == "whiteout":
            if status.rdev != (0, 0) and not self._is_lost(entry):
                self._add_file("V101", path, "whiteout", status.kind, "is no longer a whiteout")
            return
        if status.kind != entry.type:
            if not self._is_lost(entry):
                self._add_file(
                    "V101", path, entry.type, status.kind, f"is a {status.kind}, the layer has a {entry.type}"
                )
            return
        if entry.type == "symlink":
            target = self._root.tree.target(f"{self._layer.diff}{path}")
            if target != entry.link:
                self._add_file("V101", path, entry.link, target, "points elsewhere than in the layer")
            return
        if status.size != entry.size and entry.offset not in self._altered:
            self._add_file("V101", path, entry.size, status.size, "has another size than the layer's file")
        if entry.rdev != status.rdev:
            self._add_file("V101", path, entry.rdev, status.rdev, "is another device than in the layer")
        self._check_attributes(path, entry, status)

    def _check_attributes(self, path: str, entry: Entry, status: FileStatus) -> None:
        if entry.offset < 0:
            return  # nothing says what an implied directory is like
        claimed, computed = f"{entry.mode:04o}", f"{status.mode:04o}"
        if not self._losses.owners:
            claimed += f" {entry.uid}:{entry.gid}"
            computed += f" {status.uid}:{status.gid}"
        if claimed != computed and not self._losses.owners and self._layer.real_owners:
            self._add_file("V108", path, claimed, computed, "has another mode or owner than in the layer")

    def _note_extra(self, tree: LayerTree, diff: str) -> None:
        """Name what nobody put there; of a directory the directory alone, with how much it holds."""
        extra: dict[str, int] = {}
        refused = {refusal.path for refusal in tree.refused}  # engines differ on those: they may lie here or not
        for relative, _ in walk_files(self._root.tree, diff):
            path = f"/{relative}"
            if tree.entry(path) is not None or path in refused:
                continue
            top = _topmost(path, extra)
            extra[top] = extra.get(top, -1) + 1
        for path, below in extra.items():
            more = f", with {below} more below it" if below else ""
            self._add_file("V103", path, None, None, f"the layer never had it{more}")


def _topmost(path: str, known: dict[str, int]) -> str:
    at = path
    while at:
        if at in known:
            return at
        at = at.rpartition("/")[0]
    return path


def _disk_size(tree: LayerTree) -> int:
    """Add up what docker records: the lengths of files and of symlinks' targets, each inode once.

    Source: moby pkg/directory.
    """
    inodes = {id(entry): entry for children in tree.dirs.values() for entry in children.values()}.values()
    links = [os.fsencode(entry.link or "") for entry in inodes if entry.type == "symlink"]
    return sum(entry.size for entry in inodes if entry.type == "file") + sum(map(len, links))


def _name_users(archive: ImageArchive) -> dict[str, str]:
    """Name each layer by the first image that has it."""
    users: dict[str, str] = {}
    for image in (*archive.images, *archive.unlisted):
        for layer in image.layers:
            if layer.blob is not None:
                users.setdefault(layer.blob, f"{image.name}: layer {layer.index}")
    return users
