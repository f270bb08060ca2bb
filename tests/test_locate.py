"""Documents of any content: an answer, or an error that says where. Nothing else."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarlayers.analysis.verify import verify_archive
from tarlayers.errors import TarlayersError
from tarlayers.limits import Limits
from tarlayers.opening import open_images
from tarlayers.render.images import inspect_document, inspect_lines
from tarlayers.render.values import dump_json
from tarlayers.sources.locate import locate_images
from tests.build import Files, compact, file, image, layer, pack, whiteout
from tests.flavours import PRODUCERS

APP = image(layer(file("a", b"1")), layer(whiteout("a"), file("b")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def documents_of(files: Files) -> dict[str, Any]:
    return {
        name: json.loads(content)
        for name, content in files.items()
        if isinstance(content, bytes) and content[:1] in (b"{", b"[")
    }


def spots(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside a document, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(spot for key, child in inner for spot in spots(child, (*at, key)))]


def put(document: Any, spot: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a spot."""
    if not spot:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[spot[0]] = put(document[spot[0]], spot[1:], value)
    return copy


@pytest.mark.parametrize("flavour", ["docker-25", "docker-1.10", "docker-1.0", "dir-all", "nested-index", "attested"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_one_value_of_one_document_is_anything(flavour: str, data: st.DataObject) -> None:
    files = dict(PRODUCERS[flavour].make([APP]))
    documents = documents_of(files)
    name = data.draw(st.sampled_from(sorted(documents)))
    spot = data.draw(st.sampled_from(spots(documents[name])))
    files[name] = compact(put(documents[name], spot, data.draw(JSON)))
    try:
        archive = open_images(io.BytesIO(pack(files)))
        dump_json(inspect_document(archive, dict(enumerate(archive.images))))
        list(inspect_lines(archive, dict(enumerate(archive.images))))
        verify_archive(archive, workers=1)
    except TarlayersError as error:
        assert error.place, str(error)  # both ends are right; an error has to say where


@pytest.mark.parametrize(
    ("limits", "flavour", "words"),
    [
        (Limits(document_bytes=100), "oci-gzip", "limit document_bytes"),
        (Limits(documents_bytes=500), "oci-gzip", "limit document"),
        (Limits(manifests=1), "oci-gzip", "limit manifests"),
        (Limits(index_depth=0), "nested-index", "limit index_depth"),
        (Limits(layers=1), "oci-gzip", "limit layers"),
        (Limits(layers=1), "docker-20", "limit layers"),
        (Limits(layers=1), "docker-1.0", "limit layers"),
    ],
)
def test_a_limit_is_an_error_that_names_it(limits: Limits, flavour: str, words: str) -> None:
    two = image(*APP.layers, names=("app:1", "app:2"))
    with pytest.raises(TarlayersError, match=words):
        open_images(io.BytesIO(pack(PRODUCERS[flavour].make([two]))), limits=limits)


def test_documents_and_sizes_are_all_it_takes() -> None:
    """No archive is opened: two mappings tell everything."""
    files = PRODUCERS["oci-none"].make([APP])
    sizes = {name: len(content) for name, content in files.items() if isinstance(content, bytes)}
    documents = {name: content for name, content in files.items() if isinstance(content, bytes)}
    (found,) = locate_images(documents, sizes).images
    assert [str(record.claimed_diff_id) for record in found.layers] == APP.diff_ids
    assert locate_images({}, {}).kind == "none"
