"""Which fields the documents of images have: those of the structs that engines decode them into.

image-spec specs-go/v1; moby image/image.go, image/spec v1.2 and the runtime configuration of docker's API
(container/config.go), whose keys are those of OCI and some more. What is no field of any is an unknown key.
"""

from __future__ import annotations

from tarlayers.formats.json_fields import Field, ListOf, MapOf, OneOf, Pointer, Struct

ANYTHING = Pointer()
"""A document of which no struct is known."""
_TEXT = Field()
_TEXTS = ListOf(_TEXT)
_MAP = MapOf(_TEXT)


def _texts(*names: str) -> dict[str, Field]:
    return dict.fromkeys(names, _TEXT)


_PLATFORM = Struct(_texts("architecture", "os", "os.version", "variant") | {"os.features": _TEXTS}, pointer=True)
_DESCRIPTOR = Struct(
    _texts("mediaType", "digest", "size", "artifactType")
    | {"urls": _TEXTS, "annotations": _MAP, "data": Pointer(), "platform": _PLATFORM}
)
MANIFEST = Struct(
    _texts("schemaVersion", "mediaType", "artifactType")
    | {
        "manifests": ListOf(_DESCRIPTOR),
        "config": _DESCRIPTOR,
        "layers": ListOf(_DESCRIPTOR),
        "fsLayers": ListOf(Pointer()),
        "subject": _DESCRIPTOR.or_null(),
        "annotations": _MAP,
    }
)
"""An index or a manifest: which of them a document is its fields tell."""

_RUNTIME = Struct(
    _texts(
        "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin",
        "StdinOnce", "ArgsEscaped", "Image", "WorkingDir", "NetworkDisabled", "MacAddress", "StopSignal",
    )
    | dict.fromkeys(("Env", "Cmd", "Entrypoint", "OnBuild", "Shell"), _TEXTS)
    | dict.fromkeys(("ExposedPorts", "Volumes", "Labels"), _MAP)
    | {
        "Healthcheck": Struct(
            _texts("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries") | {"Test": _TEXTS}, pointer=True
        ),
        "StopTimeout": Pointer(),
    }
)  # fmt: skip
RUNTIME_KEYS = frozenset(_RUNTIME.fields)
"""Keys of the run-time part of a configuration."""

CONFIG = Struct(
    _texts(
        "architecture", "author", "comment", "container", "docker_version", "id", "layer_id", "os", "os.version",
        "parent", "parent_id", "throwaway", "variant", "Size",
    )
    | {
        "created": Pointer(),
        "os.features": _TEXTS,
        "config": _RUNTIME,
        "container_config": _RUNTIME,
        "rootfs": Struct(_texts("type") | {"diff_ids": _TEXTS}),
        "history": ListOf(
            Struct(_texts("created_by", "comment", "author", "empty_layer") | {"created": Pointer()})
        ),
    }
)  # fmt: skip
"""A configuration, also one of version 1."""

MANIFEST_JSON = OneOf(
    ListOf(
        Struct(_texts("Config", "Parent") | {"RepoTags": _TEXTS, "Layers": _TEXTS, "LayerSources": MapOf(_DESCRIPTOR)})
    ),
    MANIFEST,
)
"""A `manifest.json`: a docker-archive's, or of `dir:` a manifest or index."""

LAYOUT = Struct(_texts("imageLayoutVersion"))
"""An `oci-layout`."""
