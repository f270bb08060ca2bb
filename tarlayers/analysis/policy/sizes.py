"""Rules that hold a number against a limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tarlayers.analysis.policy.evidence import Evidence
from tarlayers.analysis.policy.exceptions import Exceptions
from tarlayers.analysis.policy.verdict import Hit, Outcome, Share
from tarlayers.formats.policy import Rule
from tarlayers.image import Layer
from tarlayers.nouns import count_noun

_MOST = 10  # shares that are told: what one looks at first


def _limit(rule: Rule) -> float | int:
    return rule.setting if isinstance(rule.setting, int | float) else 0


def judge_size(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Content of all files of all layers, as `docker images` counts it."""
    by_layer = _content_sizes(evidence, exceptions)
    shares = (Share(evidence.name_layer(layer), by_layer[layer.index], layer.index) for layer in evidence.image.layers)
    total = sum(by_layer)
    return Outcome(total, total > _limit(rule), shares=_largest(shares))


def _content_sizes(evidence: Evidence, exceptions: Exceptions | None) -> list[int]:
    sizes = [0] * len(evidence.image.layers)
    for layer, entry in evidence.files():
        if entry.size and not (exceptions and exceptions.for_path(entry.path)):
            sizes[layer.index] += entry.size
    return sizes


def _largest(shares: Iterable[Share]) -> tuple[Share, ...]:
    ordered = sorted((share for share in shares if share.bytes > 0), key=lambda share: -share.bytes)
    return tuple(ordered[:_MOST])


def _counted_layers(evidence: Evidence, exceptions: Exceptions) -> list[Layer]:
    """The layers whose instruction no exception names."""
    return [layer for layer in evidence.image.layers if not exceptions.for_text(layer.created_by or "")]


def judge_stored_size(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Layers as they are stored, which is what is pushed and pulled; one that is there twice counts once."""
    distinct = {_stored_once(layer): layer for layer in reversed(_counted_layers(evidence, exceptions))}
    for layer in distinct.values():
        if layer.size is None:
            layer.require_readable()
    shares = [Share(evidence.name_layer(layer), layer.size or 0, layer.index) for layer in distinct.values()]
    total = sum(share.bytes for share in shares)
    return Outcome(total, total > _limit(rule), shares=_largest(shares))


def _stored_once(layer: Layer) -> object:
    """Give what is the same for layers that are stored once: whatever else they are called by, their bytes."""
    return layer.source if layer.blob is not None else layer.claimed_digest or layer.index


def judge_layer_count(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """How many layers there are."""
    count = len(_counted_layers(evidence, exceptions))
    return Outcome(count, count > _limit(rule))


def judge_layer_size(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Content of the files of each layer."""
    sizes = _content_sizes(evidence, None)
    hits = tuple(
        Hit(
            evidence.name_layer(layer),
            f"{count_noun(sizes[layer.index], 'byte')} in one layer",
            layer.index,
            sizes[layer.index],
            exceptions.for_text(layer.created_by or ""),
        )
        for layer in evidence.image.layers
        if sizes[layer.index] > _limit(rule)
    )
    counted = [sizes[layer.index] for layer in _counted_layers(evidence, exceptions)]
    return Outcome(max(counted, default=0), hits=hits)


def judge_waste(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Content that is shipped but not visible."""
    wasted, _ = _measure_waste(evidence, exceptions)
    total = sum(share.bytes for share in wasted)
    return Outcome(total, total > _limit(rule), shares=_largest(wasted))


def judge_efficiency(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """The visible part of what is shipped."""
    wasted, shipped = _measure_waste(evidence, exceptions)
    ratio = (shipped - sum(share.bytes for share in wasted)) / shipped if shipped else 1.0
    return Outcome(ratio, ratio < _limit(rule), shares=_largest(wasted))


def _measure_waste(evidence: Evidence, exceptions: Exceptions) -> tuple[list[Share], int]:
    """Give what each path wastes, and how much is shipped in all."""
    wasted: dict[str, Share] = {}
    shipped = 0
    for file in evidence.shipment.files:
        if not file.entry.size or (exceptions and exceptions.for_path(file.path)):
            continue
        shipped += file.entry.size
        if file.cause is not None:
            before = wasted[file.path].bytes if file.path in wasted else 0
            wasted[file.path] = Share(file.path, before + file.entry.size, file.layer)
    return list(wasted.values()), shipped


def judge_growth(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """Content of all files, less the baseline's."""
    if evidence.baseline is None:
        return Outcome(skipped="no --baseline to hold it against")
    sizes = _content_sizes(evidence, exceptions)
    growth = sum(sizes) - sum(_content_sizes(evidence.baseline, exceptions))
    return Outcome(growth, growth > _limit(rule), shares=_new_shares(evidence, evidence.baseline, sizes))


def _new_shares(evidence: Evidence, baseline: Evidence, sizes: Sequence[int]) -> tuple[Share, ...]:
    """What the layers hold that the baseline does not have: also what is deleted or overwritten later, and shipped."""
    known = {layer.diff_id for layer in baseline.image.layers} - {None}
    new = (layer for layer in evidence.image.layers if layer.diff_id not in known)
    return _largest(Share(evidence.name_layer(layer), sizes[layer.index], layer.index) for layer in new)


def judge_growth_percent(rule: Rule, evidence: Evidence, exceptions: Exceptions) -> Outcome:
    """The same in hundredths of the baseline's."""
    if evidence.baseline is None:
        return Outcome(skipped="no --baseline to hold it against")
    old, sizes = sum(_content_sizes(evidence.baseline, exceptions)), _content_sizes(evidence, exceptions)
    if not old:
        return Outcome(skipped="the baseline has no content")
    percent = 100 * (sum(sizes) - old) / old
    return Outcome(percent, percent > _limit(rule), shares=_new_shares(evidence, evidence.baseline, sizes))


# -- dive's rules: strict comparisons in dive's own numbers (runtime/ci/rules.go of 0.13.1) -------------------------


def judge_dive_efficiency(rule: Rule, evidence: Evidence, _exceptions: Exceptions) -> Outcome:
    """The efficiency score is no lower."""
    score = evidence.dive.efficiency_score
    return Outcome(score, score < _limit(rule))


def judge_dive_waste(rule: Rule, evidence: Evidence, _exceptions: Exceptions) -> Outcome:
    """The wasted bytes are no more."""
    wasted = evidence.dive.wasted_bytes
    return Outcome(wasted, wasted > _limit(rule))


def judge_dive_user_waste(rule: Rule, evidence: Evidence, _exceptions: Exceptions) -> Outcome:
    """The wasted bytes are no larger a part of all layers but the first.

    Where these are empty dive divides by zero: nothing wasted gives NaN, which passes; else infinity, which fails.
    """
    percent = evidence.dive.wasted_user_percent
    return Outcome(percent, evidence.dive.wasted_bytes > 0 if percent is None else percent > _limit(rule))
