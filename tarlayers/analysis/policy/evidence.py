"""What rules judge by: one image, and the answers of other analyses to it, each found once, when first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from tarlayers.analysis.dive import DiveScore, score_image
from tarlayers.analysis.lint.report import LintReport, lint_image
from tarlayers.analysis.secrets import Secret, find_secrets
from tarlayers.analysis.verify import verify_archive
from tarlayers.analysis.verify_root import verify_root
from tarlayers.entry import Entry
from tarlayers.finding import VerifyReport
from tarlayers.formats.secrets import mask_text
from tarlayers.image import Image, Layer
from tarlayers.imagearchive import ImageArchive
from tarlayers.merging.engine import merge_layers
from tarlayers.rootfs import Refusal, RootFS
from tarlayers.shipped import Shipment, trace_files
from tarlayers.trace import Step, follow_layers


class Evidence:
    """One image. Layers are read on first use: whoever wants that done several at a time loads them before."""

    def __init__(
        self,
        image: Image,
        archive: ImageArchive,
        *,
        baseline: Evidence | None = None,
        engine: str = "containerd",
    ) -> None:
        self.image = image
        self.baseline = baseline
        self._archive = archive
        self._engine = engine
        self._refused: tuple[Refusal, ...] = ()

    @property
    def settings(self) -> dict[str, Any] | None:
        """The run-time part of the configuration; None for an input that has no configuration."""
        return dict(self.image.config.config) if self.image.config is not None else None

    @cached_property
    def steps(self) -> tuple[str | None, ...]:
        """The instruction of each layer, base first, with what looks like a secret masked: reports are for others."""
        told = (layer.created_by for layer in self.image.layers)
        return tuple(None if text is None else mask_text(text) for text in told)

    def name_layer(self, layer: Layer) -> str:
        """Say what made a layer, or else which one it is."""
        return self.steps[layer.index] or layer.name

    def files(self) -> Iterator[tuple[Layer, Entry]]:
        """Yield every file that a layer ships."""
        for layer in self.image.layers:
            layer.require_readable()
            for entry in layer.entries:
                if entry.type == "file" and entry.role == "entry":
                    yield layer, entry

    @cached_property
    def rootfs(self) -> RootFS:
        """The merged file system: there once, whoever needed it first."""
        if "shipment" in self.__dict__:
            return self.shipment.view
        return merge_layers(self._readable_layers(), engine=self._engine)

    @cached_property
    def shipment(self) -> Shipment:
        """What became of every shipped file."""
        self.__dict__.pop("rootfs", None)
        return trace_files(self._readable_layers(), engine=self._engine)

    def follow(self) -> Iterator[Step]:
        """Put the layers on one another once more, and yield what each does; keeping that takes more than all else."""
        self._release_views()
        return follow_layers(self._readable_layers(), engine=self._engine)

    def _release_views(self) -> None:
        """Let go of merged views before another is made: two at a time are one too many. Who needs one merges again."""
        self._refused = self.refused
        self.__dict__.pop("shipment", None)
        self.__dict__.pop("rootfs", None)

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """What the engine would not unpack, as far as a merged view was asked for."""
        for view in ("rootfs", "shipment"):
            if view in self.__dict__:
                return tuple(self.__dict__[view].refused)
        return self._refused

    @cached_property
    def secrets(self) -> tuple[Secret, ...]:
        """What looks like a credential, likely examples left out."""
        return tuple(secret for secret in find_secrets(self.image, self.shipment.files) if not secret.fixture)

    @cached_property
    def hidden_secrets(self) -> tuple[Secret, ...]:
        """Those in hidden files. A layer that has no hidden file is not searched for them."""
        every = self.__dict__.get("secrets") or find_secrets(self.image, self.shipment.hidden)
        return tuple(secret for secret in every if secret.hidden_by is not None and not secret.fixture)

    @cached_property
    def lint(self) -> LintReport:
        """What is wrong with the layers' structure."""
        self._release_views()
        return lint_image(self.image)

    @cached_property
    def verification(self) -> VerifyReport:
        """What is wrong with the claims of the whole archive. ContentAbsent where nothing is, but a layer is gone."""
        found = verify_archive(self._archive) if self._archive.root is None else verify_root(self._archive)
        for layer in self.image.layers if found.ok else ():
            if layer.unreadable == "absent":
                layer.require_readable()
        return found

    @cached_property
    def dive(self) -> DiveScore:
        """The numbers that dive computes."""
        return score_image(self.image)

    def _readable_layers(self) -> tuple[Layer, ...]:
        for layer in self.image.layers:
            layer.require_readable()
        return self.image.layers
