"""What the blobs of an archive turn out to be: each is read once, and once more for a second kind of digest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from tarlayers.digest import Digest
from tarlayers.errors import PassedOver, ReadFailed, TarlayersError
from tarlayers.layer import LayerScan
from tarlayers.stores.store import OnRead, Store


class ReadBlob(NamedTuple):
    """What one blob turned out to be."""

    digests: Mapping[str, Digest]
    """By algorithm: that which its own name is of, and all that are claimed of it and can be computed."""
    layer: LayerScan | None
    error: TarlayersError | None


def read_blob(
    store: Store, name: str, algorithms: Collection[str], *, layer: bool, on_read: OnRead | None = None
) -> ReadBlob:
    """Read a blob, of which digests of these algorithms are claimed."""
    found = _read_once(store, name, layer=layer, on_read=on_read)
    more = [algorithm for algorithm in algorithms if algorithm not in found.digests] if found.digests else ()
    digests = [*found.digests.values(), *(_digest_anyway(store, name, algorithm) for algorithm in more)]
    return found._replace(digests={digest.algorithm: digest for digest in digests if digest is not None})


def _read_once(store: Store, name: str, *, layer: bool, on_read: OnRead | None) -> ReadBlob:
    try:
        scan = store.scan(name, on_read) if layer else None
        return ReadBlob(_by_algorithm(scan.digest if scan else store.digest(name)), scan, None)
    except (PassedOver, ReadFailed):
        raise  # which tells nothing of the blob
    except TarlayersError as error:
        told = error.inside("")  # without the frames that the error went through, and what they hold open
        # Of a layer that could not be read to its end, the digest still tells whether it is the right blob.
        return ReadBlob(_by_algorithm(_digest_anyway(store, name) if layer else None), None, told)


def _by_algorithm(digest: Digest | None) -> Mapping[str, Digest]:
    return {digest.algorithm: digest} if digest is not None else {}


def _digest_anyway(store: Store, name: str, algorithm: str | None = None) -> Digest | None:
    try:
        return store.digest(name, algorithm)
    except ReadFailed:
        raise
    except TarlayersError:
        return None
