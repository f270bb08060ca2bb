"""Which of several images is meant: PATH#REF and --platform."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.build import OCI, Files, archive, descriptor, file, image, layer, oci_manifest, pack, sha256
from tests.oci_flavours import INDEX, index, named, oci_layout
from tests.run import run

ONE = image(layer(file("one")), names=("example.org/app:1.0", "example.org/app:latest"))
TWO = image(layer(file("two")), names=("example.org/app:2.0",))
TOOL = image(layer(file("tool")), names=("tool:2.0",))
THREE = archive("docker-20", ONE, TWO, TOOL)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("three") / "three.tar"
    path.write_bytes(THREE)
    return path


def image_id(number: int) -> str:
    return sha256((ONE, TWO, TOOL)[number].config_bytes)


CHOSEN = {
    # REF: the one file of the image that it means
    "example.org/app:2.0": "/two",
    "app:2.0": "/two",
    "1.0": "/one",
    "example.org/app": "/one",  # the tag `latest` is implied
    "tool:2.0": "/tool",
    "docker.io/library/tool:2.0": "/tool",
    "@0": "/one",
    "@2": "/tool",
    f"sha256:{image_id(1)}": "/two",
    image_id(1): "/two",
    image_id(2)[:12]: "/tool",
}
REFUSED = {
    "2.0": "2 images fit #2.0; choose one",
    "3.0": "no image fits #3.0; there are #@0 (example.org/app:1.0 example.org/app:latest linux/amd64), #@1 (",
    "@3": "no image fits #@3",
    "ample.org/app:2.0": "no image fits",
    image_id(2)[:11]: "no image fits",
}


@pytest.mark.parametrize("reference", CHOSEN)
def test_a_reference_picks_one_image_of_a_file_and_of_a_stream(reference: str, three: Path) -> None:
    assert run("ls", f"{three}#{reference}").stdout.decode() == f"{CHOSEN[reference]}\n"
    assert run("ls", f"-#{reference}", stdin=THREE).stdout.decode() == f"{CHOSEN[reference]}\n"


@pytest.mark.parametrize("reference", REFUSED)
def test_what_may_be_chosen_is_said_in_one_line(reference: str, three: Path) -> None:
    refused = run("ls", f"{three}#{reference}")
    assert refused.code == 2
    assert refused.stderr.startswith(f"tarlayers: {three}: ")
    assert REFUSED[reference] in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_without_a_choice_all_are_listed(three: Path) -> None:
    assert run("ls", three).stderr == (
        f"tarlayers: {three}: it holds 3 images; choose one with #REF or --platform: "
        "#@0 (example.org/app:1.0 example.org/app:latest linux/amd64), #@1 (example.org/app:2.0 linux/amd64), "
        "#@2 (tool:2.0 linux/amd64)\n"
    )


PLATFORMS = ["linux/amd64", "linux/arm64", "linux/arm", "windows/amd64"]


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of four platforms that were saved and one that was not."""
    files: Files = {}
    entries = []
    for platform in PLATFORMS:
        built = image(layer(file(platform.replace("/", "-"))), platform=platform)
        variant = {"linux/arm64": {"variant": "v8"}, "linux/arm": {"variant": "v7"}}.get(platform, {})
        built = image(layer(file(platform.replace("/", "-"))), platform=platform, **variant)
        entries.append(descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, built, "gzip")))
    away = {"mediaType": f"{OCI}.manifest.v1+json", "digest": f"sha256:{'d' * 64}", "size": 1}
    entries.append({**away, "platform": {"os": "linux", "architecture": "s390x"}})
    path = tmp_path_factory.mktemp("multi") / "multi.tar"
    path.write_bytes(pack(oci_layout(files, named(descriptor(files, INDEX, index(entries)), ONE))))
    return path


@pytest.mark.parametrize(
    ("platform", "found"),
    [
        ("linux/amd64", "/linux-amd64"),
        ("linux/x86_64", "/linux-amd64"),
        ("Linux/AMD64", "/linux-amd64"),
        ("linux/arm64", "/linux-arm64"),
        ("linux/arm64/v8", "/linux-arm64"),
        ("linux/aarch64", "/linux-arm64"),
        ("arm64", "/linux-arm64"),
        ("linux/arm/v7", "/linux-arm"),
        ("linux/arm/7", "/linux-arm"),
        ("linux/armhf", "/linux-arm"),
        ("armhf", "/linux-arm"),
        ("linux/armel", (2, "no image fits --platform linux/armel")),
        ("windows", "/windows-amd64"),
        ("windows/amd64", "/windows-amd64"),
        ("linux/arm/v6", (2, "no image fits --platform linux/arm/v6")),
        ("linux", (2, "3 images fit --platform linux")),
        ("linux/s390x", (3, "--platform linux/s390x: the manifest is not in the archive")),
        ("linux/riscv64", (2, "there are #@0 (")),
        ("", (2, "no image fits --platform ''; there are #@0 (")),
    ],
)
def test_a_platform_picks_one_image(platform: str, found: str | tuple[int, str], multi: Path) -> None:
    ran = run("ls", multi, "--platform", platform)
    if isinstance(found, str):
        assert ran.stdout.decode() == f"{found}\n"
    else:
        assert (ran.code, found[1] in ran.stderr) == (found[0], True), ran.stderr


@pytest.mark.parametrize(
    ("platform", "found"),
    [
        ("linux/arm/v6", "/one"),
        ("linux/arm/v7", "/two"),
        ("linux/armel", "/one"),
        ("linux/arm64", "/three"),
        ("linux/arm", "/two"),
        ("arm", "/two"),
        ("linux", (2, "3 images fit --platform linux")),
        ("linux/s390x", (2, "no image fits")),
    ],
)
def test_the_index_says_which_platform_an_image_is_for(
    platform: str, found: str | tuple[int, str], tmp_path: Path
) -> None:
    """As for containerd and skopeo: configurations lack the variant, or are those of the machine that built."""
    files: Files = {}
    entries = []
    said = [("one", "arm", "v6", "arm"), ("two", "arm", "v7", "arm"), ("three", "arm64", None, "s390x")]
    for name, architecture, variant, configured in said:
        built = image(layer(file(name)), architecture=configured)
        claimed = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
        raw = oci_manifest(files, built, "none")
        entries.append(descriptor(files, f"{OCI}.manifest.v1+json", raw, platform=claimed))
    path = tmp_path / "arm.tar"
    path.write_bytes(pack(oci_layout(files, [descriptor(files, INDEX, index(entries))])))
    ran = run("ls", path, "--platform", platform)
    if isinstance(found, str):
        assert ran.stdout.decode() == f"{found}\n"
    else:
        assert (ran.code, found[1] in ran.stderr) == (found[0], True), ran.stderr
    assert "platform    linux/s390x, and by the index linux/arm64\n" in run("inspect", path).stdout.decode()
    verified = run("verify", path).stdout.decode()
    assert verified.count("V025") == 1
    assert "the index says linux/arm64, by which engines choose, but the configuration linux/s390x" in " ".join(
        verified.split()
    )


def test_a_variant_that_goes_without_saying_chooses_among_images_of_one_name(tmp_path: Path) -> None:
    """containerd takes linux/arm for v7; which of two names is meant nobody can tell."""
    files: Files = {}
    entries = {}
    for each, variant in ((ONE, "v6"), (TWO, "v7"), (TOOL, "v5")):
        claimed = {"os": "linux", "architecture": "arm", "variant": variant}
        raw = oci_manifest(files, each, "none")
        entries[variant] = descriptor(files, f"{OCI}.manifest.v1+json", raw, platform=claimed)
    path = tmp_path / "arm.tar"
    path.write_bytes(pack(oci_layout(files, [*named(entries["v6"], ONE), *named(entries["v7"], TWO)])))
    assert "2 images fit --platform linux/arm" in run("ls", path, "--platform", "linux/arm").stderr
    assert run("ls", f"{path}#1.0", "--platform", "linux/arm").stdout == b"/one\n"
    path.write_bytes(pack(oci_layout(files, [entries["v5"], entries["v6"]])))
    assert "2 images fit --platform linux/arm" in run("ls", path, "--platform", "linux/arm").stderr


def test_a_platform_whose_configuration_was_not_saved_is_left_aside(tmp_path: Path) -> None:
    """containerd keeps the manifest of a platform that it did not pull, and nothing that it names."""
    files: Files = {}
    entries = [descriptor(files, f"{OCI}.manifest.v1+json", oci_manifest(files, each, "gzip")) for each in (ONE, TWO)]
    del files[f"blobs/sha256/{sha256(TWO.config_bytes)}"]
    path = tmp_path / "partial.tar"
    path.write_bytes(pack(oci_layout(files, named(descriptor(files, INDEX, index(entries)), ONE))))
    assert run("ls", path).stdout == run("ls", f"{path}#1.0").stdout == b"/one\n"
    assert run("ls", f"{path}#@1").stdout == b"/two\n"


def test_reference_and_platform_together(multi: Path) -> None:
    assert run("ls", f"{multi}#1.0", "--platform", "linux/arm64").stdout == b"/linux-arm64\n"
    assert run("ls", f"{multi}#1.0").code == 2
    assert run("ls", f"{multi}#{'d' * 64}").code == 3


@pytest.mark.parametrize(
    "argument",
    ["we#ird.tar#2.0", "we#ird.tar#app:2.0", "we", "we#1", "we#ird.tar#@1"],
)
def test_a_path_may_have_the_mark_in_its_name(argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest path that exists is the one that is meant."""
    monkeypatch.chdir(tmp_path)
    for name in ("we#ird.tar", "we", "we#1"):
        Path(name).write_bytes(archive("oci-gzip", ONE, TWO) if name == "we#ird.tar" else archive("oci-gzip", TOOL))
    assert run("ls", argument).stdout == (b"/two\n" if "ird" in argument else b"/tool\n")


@pytest.mark.parametrize(
    ("argument", "place"),
    [("nowhere.tar", "nowhere.tar"), ("nowhere.tar#v1", "nowhere.tar"), ("no/where#a#b", "no/where")],
)
def test_a_path_that_is_not_there(argument: str, place: str) -> None:
    ran = run("ls", argument)
    assert (ran.code, ran.stderr) == (3, f"tarlayers: {place}: {os.strerror(2)}\n")


def test_an_option_may_be_given_what_looks_like_a_stream(three: Path) -> None:
    assert "no image fits --platform -#x;" in run("ls", three, "--platform", "-#x").stderr
    assert run("ls", "--match", "-#@0", "-#@0", stdin=THREE).stdout == b""
    assert "No such option" in run("ls", three, "-%").stderr


@pytest.mark.parametrize(("reference", "names"), [("app:2.0", [TWO]), ("2.0", [TWO, TOOL]), ("@2", [TOOL])])
def test_inspect_shows_every_image_that_a_reference_means(reference: str, names: list, three: Path) -> None:
    images = run("inspect", f"{three}#{reference}", "-f", "json").json["images"]
    assert [tuple(image["names"]) for image in images] == [image.names for image in names]


def test_inspect_shows_every_image_of_a_platform(multi: Path) -> None:
    shown = run("inspect", multi, "--platform", "linux/arm64", "-f", "json").json["images"]
    assert {image["platform"] for image in shown} <= {"linux/arm64", "linux/arm64/v8"}
    assert len(shown) < len(run("inspect", multi, "-f", "json").json["images"])
    refused = run("inspect", multi, "--platform", "linux/mips")
    assert (refused.code, "no image fits --platform linux/mips" in refused.stderr) == (2, True)


def test_inspect_numbers_images_as_the_archive_has_them(three: Path) -> None:
    assert [line for line in run("inspect", f"{three}#tool:2.0").lines if line.startswith("#")] == ["#@2 tool:2.0"]


def test_verify_takes_all_images_but_no_wrong_name(three: Path) -> None:
    assert run("verify", f"{three}#2.0").stdout == run("verify", three).stdout


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_commands_about_the_whole_archive_know_a_wrong_name(command: str, three: Path) -> None:
    done = run(command, f"{three}#3.0")
    assert (done.code, done.stdout) == (2, b"")
    assert "no image fits #3.0; there are #@0" in done.stderr


def test_digests_that_are_no_sha256_are_names_too(tmp_path: Path) -> None:
    plain = layer(file("f"))
    made = image(plain, rootfs={"type": "layers", "diff_ids": [f"sha512:{hashlib.sha512(plain).hexdigest()}"]})
    files: Files = {}
    raw = oci_manifest(files, made, "gzip")
    hexes = hashlib.sha512(raw).hexdigest()
    files[f"blobs/sha512/{hexes}"] = raw
    entry = {"mediaType": f"{OCI}.manifest.v1+json", "digest": f"sha512:{hexes}", "size": len(raw)}
    path = tmp_path / "app.tar"
    path.write_bytes(pack(oci_layout(files, [entry])))
    for name in (f"sha512:{hexes}", f"app@sha512:{hexes}", f"sha512:{hexes[:12]}", hexes, hexes[:12]):
        assert run("ls", f"{path}#{name}").code == 0
    assert run("ls", f"{path}#sha256:{hexes}").code == 2
    diff_id = hashlib.sha512(plain).hexdigest()
    for name in (f"sha512:{diff_id}", f"sha512:{diff_id[:12]}", diff_id[:12]):
        assert run("ls", "--only", name, path).lines == ["/f"]


@pytest.mark.parametrize("name", ["--5", "\u00b2", "-", "", "+0", "0x0", "1_0", " 0"])
def test_what_is_no_number_is_no_layer(name: str, multi: Path) -> None:
    ran = run("ls", f"{multi}#@0", f"--only={name}")
    assert ran.code == 2 and f"no layer {name!r}: give an index" in ran.stderr
