"""`tarlayers check`."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tarlayers.cli.options import (
    CacheOption,
    Engine,
    EngineOption,
    PlatformOption,
    QuietOption,
    choose_in,
    load_chosen,
    open_archive,
    refuse_together,
    split_reference,
    warn_refused,
)
from tarlayers.cli.outcome import answer_no, warn
from tarlayers.cli.output import require_output, write_bytes, write_file, write_lines
from tarlayers.cli.policy_file import load_policy, place_in_repository, uri_of
from tarlayers.cli.words import STREAM_MARK
from tarlayers.cli.words import Command as WordCommand
from tarlayers.stdio import STANDARD, name_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tarlayers.analysis.policy.evaluation import Reading
    from tarlayers.analysis.policy.evidence import Evidence
    from tarlayers.analysis.policy.verdict import Verdict
    from tarlayers.formats.policy import Policy
    from tarlayers.imagearchive import ImageArchive
    from tarlayers.render.reports.report import CheckReport

_ORDER = "tarlayers.option_order"


class ReportFormat(StrEnum):
    """How to report."""

    text = "text"
    json = "json"
    markdown = "markdown"
    sarif = "sarif"
    junit = "junit"
    github = "github"


class Command(WordCommand):
    """A command that knows in which order its options were given: an --output belongs to the --format before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 # its class moved in typer 0.26
        """Parse as always, then note the order."""
        rest = super().parse_args(ctx, list(args))
        _, _, order = self.make_parser(ctx).parse_args(args=self.mark(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order if parameter.name in ("format", "output")]
        return rest


class Opening(NamedTuple):
    """How every image is opened."""

    engine: Engine
    platform: str | None
    cache: bool | None
    verbose: bool
    quiet: bool
    stream: list[ImageArchive]
    """What standard input holds, once it was read: it may have several of the images."""


class Report(NamedTuple):
    """One report to write, and where: None is standard output."""

    format: ReportFormat
    path: str | None


def command(
    ctx: typer.Context,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...", help="PATH[#REF] of each image, or - for standard input.", show_default=False
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            "-p",
            metavar="FILE",
            help="The policy: TOML, or dive's .dive-ci. Else .tarlayers.toml, or [tool.tarlayers] of pyproject.toml, "
            "here or in a directory above.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="OLD", help="The image that growth is measured from.", show_default=False),
    ] = None,
    format: Annotated[  # noqa: A002 # the option's name
        list[ReportFormat] | None,
        typer.Option("--format", "-f", help="How to report (repeatable).", show_default="text"),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the --format before it goes.", show_default=False),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="CODE",
            help="Say what a code (P010, L032, V001) or a rule (max_size) means.",
            show_default=False,
        ),
    ] = None,
    today: Annotated[
        datetime | None,
        typer.Option(
            "--today",
            metavar="YYYY-MM-DD",
            formats=["%Y-%m-%d"],
            help="The day on which exceptions have to hold.",
            show_default="now",
        ),
    ] = None,
    engine: EngineOption = Engine.containerd,
    platform: PlatformOption = None,
    cache: CacheOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List all that is found, and say what is done.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Hold images to the rules of a policy, which you write first. Exit 1 when a rule is violated.

    Reports may be several at once. Standard output gets the one format that has no file, or text.

    Example: tarlayers check app.tar --baseline old.tar --format sarif --output check.sarif
    """
    if explain is not None:
        others = {*(format or ())} - {ReportFormat.text, ReportFormat.markdown}  # it is both
        refuse_together({"--explain": True, "--output": bool(output), "--format": bool(others)})
        _explain(explain)
        return
    if not images:
        raise typer.BadParameter("name an image", param_hint="IMAGE")
    if baseline == STANDARD and STANDARD in images:
        raise typer.BadParameter("is the image itself; of a stream with two name both: -#v2 --baseline -#v1")
    reports = pair_reports(format or [], output or [], ctx.meta.get(_ORDER, []))
    day = datetime.now(UTC).date() if today is None else today.date()
    how = Opening(engine, platform, cache, verbose, quiet, [])
    rules = load_policy(policy)
    _require_outputs(reports, [rules.name, *(split_reference(each)[0] for each in (*images, baseline) if each)])
    found = _check_images(rules, images, baseline, day, how)
    for report in reports:
        text = _render(found, report.format, every=verbose).encode("utf-8", "backslashreplace")
        if report.path is None:
            write_bytes([text])
        else:
            write_file(report.path, [text])
    if not found.ok:
        answer_no()


def pair_reports(formats: Sequence[ReportFormat], outputs: Sequence[str], order: Sequence[str]) -> list[Report]:
    """Give each format the output that follows it; what has none, or `-`, goes to standard output, which gets text
    when nothing else does. `order` names the options as they were given.
    """
    reports: list[Report] = []
    left_formats, left_outputs = iter(formats), iter(outputs)
    for i, name in enumerate(order):
        if name == "format":
            reports.append(Report(next(left_formats), None))
        elif i and order[i - 1] == "format":
            path = next(left_outputs)
            reports[-1] = Report(reports[-1].format, None if path == STANDARD else path)
        else:
            raise typer.BadParameter("stands behind the --format that it is for", param_hint="--output")
    shown = [report for report in reports if report.path is None]
    if len(shown) > 1:
        raise typer.BadParameter(
            f"only one goes to standard output, not {' and '.join(report.format for report in shown)}: "
            "give the others an --output",
            param_hint="--format",
        )
    return reports if shown else [Report(ReportFormat.text, None), *reports]


def _require_outputs(reports: Sequence[Report], inputs: Sequence[str]) -> None:
    """Refuse reports that would replace an input, or one another, and those that cannot be made."""
    taken: set[str] = set()
    for path in (report.path for report in reports if report.path is not None):
        require_output(path, inputs)
        target = os.path.realpath(path)
        if target in taken and (not os.path.exists(target) or os.path.isfile(target)):  # noqa: PTH110, PTH113 # text
            raise typer.BadParameter(f"{path}: two reports cannot go to one file", param_hint="--output")
        taken.add(target)


def _check_images(policy: Policy, images: Sequence[str], baseline: str | None, day: date, how: Opening) -> CheckReport:
    from tarlayers.analysis.policy.evaluation import plan_reading
    from tarlayers.render.reports.report import CheckReport
    from tarlayers.version import find_version

    reading = plan_reading(policy)
    if baseline is not None and not reading.baseline:
        warn(f"no rule of {policy.name} needs the baseline", quiet=how.quiet)
    old = None
    if baseline is not None and reading.baseline:
        shared = split_reference(baseline)[0] == STANDARD and any(
            split_reference(each)[0] == STANDARD for each in images
        )
        old = _gather(baseline, reading if shared else reading._replace(hashed=False, again=False), how)
    return CheckReport(
        policy=policy.name,
        policy_uri=uri_of(policy.name),
        policy_in_repository=place_in_repository(policy.name),
        version=find_version(),
        verdicts=tuple(_check_image(policy, image, reading, old, day, how) for image in images),
    )


def _check_image(
    policy: Policy, image: str, reading: Reading, baseline: Evidence | None, day: date, how: Opening
) -> Verdict:
    from tarlayers.analysis.policy.evaluation import check_image
    from tarlayers.errors import naming

    evidence = _gather(image, reading, how, baseline)
    with naming(_path_of(image)):
        verdict = check_image(policy, evidence, image.removeprefix(STREAM_MARK), day)
    warn_refused(verdict.refused, quiet=how.quiet)
    return verdict


def _gather(argument: str, reading: Reading, how: Opening, baseline: Evidence | None = None) -> Evidence:
    """Open an image and read what the rules need of it, once."""
    from tarlayers.analysis.policy.evidence import Evidence
    from tarlayers.errors import naming

    archive, reference = _open(argument, reading, how)
    image = choose_in(archive, reference, how.platform, quiet=how.quiet, contents=False)
    if reading.layers:
        with naming(_path_of(argument)):
            load_chosen(image.layers, quiet=how.quiet, hashed=reading.hashed)
    return Evidence(image, archive, baseline=baseline, engine=how.engine.value)


def _open(argument: str, reading: Reading, how: Opening) -> tuple[ImageArchive, str | None]:
    """Open an image's archive, standard input once for all."""
    path, reference = split_reference(argument)
    if path == STANDARD and how.stream:
        return how.stream[0], reference
    archive, reference = open_archive(
        argument, quiet=how.quiet, verbose=how.verbose, hashed=reading.hashed, keep=reading.again, cache=how.cache
    )
    if path == STANDARD:
        how.stream.append(archive)
    return archive, reference


def _path_of(argument: str) -> str:
    """What errors call an image's archive: there may be several."""
    path, _ = split_reference(argument)
    return name_input(path)


def _render(report: CheckReport, shown: ReportFormat, *, every: bool) -> str:
    from tarlayers.render.reports.document import render_json
    from tarlayers.render.reports.github import render_github
    from tarlayers.render.reports.junit import render_junit
    from tarlayers.render.reports.markdown import render_markdown
    from tarlayers.render.reports.sarif import render_sarif
    from tarlayers.render.reports.text import render_text

    renderers: dict[ReportFormat, Callable[[CheckReport], str]] = {
        ReportFormat.json: render_json,
        ReportFormat.markdown: render_markdown,
        ReportFormat.sarif: render_sarif,
        ReportFormat.junit: render_junit,
        ReportFormat.github: render_github,
    }
    return render_text(report, every=every) if shown is ReportFormat.text else renderers[shown](report)


def _explain(code: str) -> None:
    from tarlayers.cli.explanations import explain_code, list_rules

    text = explain_code(code)
    if text is None:
        there = f"there are the rules {', '.join(list_rules())}, and the codes that lint (L) and verify (V) print"
        raise typer.BadParameter(f"no such code or rule: {code}; {there}", param_hint="--explain")
    write_lines(text.splitlines())
