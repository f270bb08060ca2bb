"""Rules about files: which may be there, which must, and who may write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.exceptions import Exceptions
from tarlayers.analysis.policy.verdict import Hit, Outcome
from tarlayers.analysis.secrets import Secret
from tarlayers.formats.glob import match_glob
from tarlayers.formats.policy import Hidden, Rule, Touch
from tarlayers.image import Image
from tarlayers.linux import SET_ID
from tarlayers.trace import Event


def _globs(rule: Rule) -> tuple[str, ...]:
    return tuple(map(str, rule.setting)) if isinstance(rule.setting, tuple) else ()


def _first_fit(globs: Sequence[str], path: str) -> str | None:
    return next((glob for glob in globs if match_glob(glob, path)), None)


def judge_forbidden_paths(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """No visible path fits."""
    hits = tuple(
        Hit(path, f"fits {glob}", node.layer, node.entry.size or None, exceptions.for_path(path))
        for path, node in evidence.rootfs.sorted_nodes()
        if (glob := _first_fit(_globs(rule), path)) is not None
    )
    return Outcome(hits=hits)


def judge_required_paths(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Every glob fits a visible path."""
    missing = dict.fromkeys(_globs(rule))
    for path in evidence.rootfs:
        for glob in [glob for glob in missing if match_glob(glob, path)]:
            del missing[glob]
        if not missing:
            break
    return Outcome(hits=tuple(Hit(glob, "nothing fits it", ignore=exceptions.for_text(glob)) for glob in missing))


def judge_hidden(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """No file that a lower layer still ships fits, or looks like a credential."""
    setting = rule.setting if isinstance(rule.setting, Hidden) else Hidden((), secrets=False)
    hits = [
        Hit(
            file.path,
            f"fits {glob}; hidden by layer {file.hidden_by}",
            file.layer,
            file.entry.size,
            exceptions.for_path(file.path),
        )
        for file in evidence.shipment.hidden
        if (glob := _first_fit(setting.paths, file.path)) is not None
    ]
    hits += (_secret_hit(secret, exceptions) for secret in (evidence.hidden_secrets if setting.secrets else ()))
    return Outcome(hits=tuple(sorted(hits, key=lambda hit: (hit.subject, hit.layer or 0))))


def judge_secrets(_rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Nothing looks like a credential: no file, visible or hidden, no variable, label, command or build step."""
    return Outcome(hits=tuple(_secret_hit(secret, exceptions) for secret in evidence.secrets))


def _secret_hit(secret: Secret, exceptions: Exceptions) -> Hit:
    words = [f"looks like a credential ({secret.rule})"]
    if secret.line is not None:
        words.append(f"line {secret.line}")
    if secret.masked is not None:
        words.append(secret.masked)
    if secret.hidden_by is not None:
        words.append(f"hidden by layer {secret.hidden_by}")
    if secret.path is not None:
        ignore = exceptions.for_path(secret.path)
        return Hit(secret.path, "; ".join(words), secret.layer, ignore=ignore)
    subject = f"{secret.place} {secret.name}" if secret.name is not None else secret.place
    return Hit(subject, "; ".join(words), secret.layer, ignore=exceptions.for_text(subject))


def judge_setuid(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """No visible file has the set-uid or set-gid bit but those that may. On a directory the bits run nothing."""
    hits = tuple(
        Hit(
            path,
            f"mode {node.entry.mode:04o}, owner {node.entry.uid}:{node.entry.gid}",
            node.layer,
            ignore=exceptions.for_path(path),
        )
        for path, node in evidence.rootfs.sorted_nodes()
        if node.entry.type == "file" and node.entry.mode & SET_ID and _first_fit(_globs(rule), path) is None
    )
    return Outcome(hits=hits)


def judge_touches(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """None of the layers that are meant adds, writes or deletes a path that fits."""
    if not isinstance(rule.setting, Touch):
        return Outcome()
    touch = rule.setting
    meant = set(_meant_layers(evidence.image, touch))
    hits = tuple(
        Hit(event.path, f"{_say(event)}; fits {glob}", step.layer, ignore=exceptions.for_path(event.path))
        for step in evidence.follow()
        if step.layer in meant
        for event in step.events()
        if not _is_relisted(event) and (glob := _first_fit(touch.paths, event.path)) is not None
    )
    return Outcome(hits=hits)


def _say(event: Event) -> str:
    return "deleted" if event.after is None else "added" if event.before is None else "written"


def _is_relisted(event: Event) -> bool:
    """Say whether a directory stands in a layer only because something below it does: engines list parents too."""
    if event.before is None or event.after is None:
        return False
    kept = [(e.type, e.mode, e.uid, e.gid, e.xattrs or {}) for e in (event.before.entry, event.after.entry)]
    return kept[0] == kept[1] and event.after.entry.type == "dir"


def _meant_layers(image: Image, touch: Touch) -> Iterator[int]:
    """The layers that both a range (or digest) and an instruction choose; one that is not there is none."""
    chosen = range(len(image.layers)) if touch.layers is None else _layer_range(image, touch.layers)
    for index in chosen:
        if touch.instruction is None or fnmatchcase(image.layers[index].created_by or "", touch.instruction):
            yield index


def _layer_range(image: Image, text: str) -> Sequence[int]:
    everything = range(len(image.layers))
    if ":" in text and not text.startswith("sha256:"):
        first, _, last = text.partition(":")
        return everything[int(first) if first else None : int(last) if last else None]
    if len(text) < 12:
        index = int(text)
        return everything[index:][:1] if -len(everything) <= index < len(everything) else ()
    digits = text.removeprefix("sha256:")
    return [
        layer.index
        for layer in image.layers
        if any(digest is not None and digest.hex.startswith(digits) for digest in (layer.diff_id, layer.digest))
    ]
