"""What was meant by an archive, an option or a path that is not there: other tools have other names for the first two,
and a path may have been copied as it was printed.
"""

from __future__ import annotations

import os
import re

# skopeo's transports, which dive and syft take as well.
_TRANSPORT = re.compile(r"(?:docker-archive|oci-archive|oci-dir|oci|dir|docker|podman):(?://)?")
_IMAGE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(?:(?::\d+)?/[a-z0-9._-]+)*(?::\w[\w.-]*)?(?:@sha256:[0-9a-f]{64})?")
_FILE_ENDINGS = (".tar", ".gz", ".tgz", ".zst", ".xz", ".bz2", ".tlx", ".json")

# As `render.escape` has them, which is as shells read them between $' and '.
_ESCAPE = r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_DOTS = "names that begin with a dot are always listed"
_SIZES = "-l has sizes in bytes, --du rounds them"
# By command: options of the programs that have its name, and what stands for them here.
_HABITS = {
    "ls": {
        "-a": _DOTS,
        "-A": _DOTS,
        "--all": _DOTS,
        "--almost-all": _DOTS,
        "-h": _SIZES,
        "--human-readable": _SIZES,
        "-1": "there is one path a line",
        "-S": "--du has the largest first",
        "-d": "--match PATH lists a directory itself",
    },
    "diff": {
        "-u": "--patch PATH has the lines of a file",
        "-p": "--patch PATH has the lines of a file",
        "-r": "all that is below is compared",
    },
}


def hint_option(command: str, option: str) -> str | None:
    """Say what stands for an option that people know from elsewhere."""
    return _HABITS.get(command, {}).get(option)


def hint_path(path: str) -> str | None:
    r"""Say how a shell is given a path that was printed as `path`, where that has an escape such as `\xff`."""
    if not re.search(_ESCAPE, path):
        return None
    word = re.sub(rf"(?!{_ESCAPE})[\\']", r"\\\g<0>", path)
    return f"if it was printed like this, a shell writes it $'{word}'"


def hint_archive(path: str) -> str | None:
    """Say how an archive, or an image in one, is named here, where `path` looks like another tool's way to do so."""
    bare = _TRANSPORT.sub("", path, count=1)
    if bare != path and os.path.exists(bare):  # noqa: PTH110 # it is text
        return f"the path alone is its name: {bare}"
    for separator in ":@":
        archive, _, reference = bare.rpartition(separator)
        if archive and reference and os.path.exists(archive):  # noqa: PTH110 # as above
            number = reference if separator == ":" else f"@{reference}"
            return f"an image in an archive is named {archive}#{number}"
    is_name = _IMAGE_NAME.fullmatch(bare) and not bare.partition(":")[0].endswith(_FILE_ENDINGS)
    if is_name and ("/" not in bare or ":" in bare):
        return f"an archive is needed, as of: docker save {bare} -o app.tar"
    return None
