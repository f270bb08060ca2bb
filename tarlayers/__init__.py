"""Answers about saved container images, without a daemon, without root, without unpacking.

The house has floors, and a module imports from lower floors only; `tests/test_floors.py` reads this table:

    0  errors digest limits
    1  formats
    2  sources
    3  layer store image reference imagearchive
    4  tree unpack inplace rootfs
    5  analysis export
    6  render
    7  cli

Inside a floor these edges are meant, and no others:

    digest -> errors
    formats.* -> formats.whiteout
    formats.* -> formats.tar_fields
    store -> layer
    image -> layer store
    reference -> image
    imagearchive -> image reference store
    unpack -> tree
    inplace -> tree
    rootfs -> tree unpack inplace
"""
