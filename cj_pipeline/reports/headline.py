"""This module writes the first lines of every parity report: the verdict, what it rests on, and what to do next."""

from __future__ import annotations

import math
import shlex
from collections import Counter

from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict
from cj_pipeline.parity.gauntlet.limits import in_words
from cj_pipeline.parity.origin import CHECKS_OF_FIELD
from cj_pipeline.parity.power import Detection
from cj_pipeline.parity.tables import verdict_words
from cj_pipeline.parity.verdict import Doubt, Parity
from cj_pipeline.reports.more import command_for_more
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.captured_scenario import NO_MODE
from cj_pipeline.traces.file_scenario import BARE_ID

FITTED_TO_ITSELF = (
    "One recording: where the mode was fitted to it, this shows that the mock follows its fit, not that the fit is "
    "right."
)
NOT_FITTED = (
    f"No mode was fitted to this file: the mock answered under '{NO_MODE}', as no judge in particular. An import makes "
    "a scenario of it, with a mode of its own."
)
DIVERGENCE = "--first-divergence"
RECORD_MORE = (
    "recording of the same judge over the same pairs, or `judge: {repeatability, reason}` in scenario.yaml where it is "
    "known that the judge repeats its answers."
)

ANOTHER_JUDGE = (
    "a judge or a prompt whose answers depend on the essays. More answers like these would not; if the judge does read "
    "them, it takes many more comparisons to see it."
)

# What people ask of a comparison, and whether it is said in the gate's unit or as a share of the recorded value.
_SEEN = {
    "position_effect": ("position", "logits"),
    "winner_share": ("share of A", ""),
    "tokens_total": ("tokens", "%"),
    "latency_mean": ("latency", "%"),
}
_FEW_NAMES = 5
_OF_THE_INPUT = (Doubt.PARTIAL, Doubt.SAME_FILE)


def headline(report: ParityReport) -> str:
    """Return the verdict and the number of gates behind it, as one sentence without its full stop."""
    could, failed = len(report.could_fail), report.failed
    verdict = verdict_words(report.verdict, report.expected)
    if failed:
        return f"{verdict}: {len(failed)} of {could} gates failed: {', '.join(one.check.name for one in failed)}"
    if report.verdict is Parity.CANNOT_TELL:
        return f"{verdict}: {could} gates could have failed and none did, but that is no proof"
    return f"{verdict}: {could} gates could have failed, and none did"


def headline_lines(report: ParityReport, arguments: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the headline as sentences, the verdict first and the command that helps most last.

    arguments: what `cj-pipeline parity` was called with; without them, the scenario by its id.
    """
    lines = [f"{headline(report)}."]
    if _not_fitted(report):
        lines.append(NOT_FITTED)
    if report.scenario.expect is not None:
        lines.append(f"Expected: {report.expected}, since {_sentence(report.scenario.expect.reason)}")
    if report.reasons:
        lead = "Why" if report.verdict is Parity.CANNOT_TELL else "Also"
        lines += [f"{lead}: {_sentence(reason.sentence)}" for reason in report.reasons]
    lines += power_lines(report)
    lines += doubt_lines(report)
    lines += given_lines(report)
    lines += side_lines(report)
    lines += [f"Note: {_sentence(note)}" for note in report.notes]
    lines += help_lines(report)
    command = next_command(report, arguments)
    return (*lines, f"Next: {command}") if command else tuple(lines)


def help_lines(report: ParityReport) -> list[str]:
    """Return what would turn CANNOT TELL into a proof, where something would, as a sentence."""
    doubts = {reason.doubt for reason in report.reasons}
    if Doubt.NO_ANSWERS in doubts:
        return ["What helps: answers of both sides to the same pairs, shown the same way round, and checks of them."]
    if Doubt.NOTHING_ABOUT_ESSAYS in doubts:
        return [f"What helps: {ANOTHER_JUDGE}"]
    if report.verdict is Parity.CANNOT_TELL and doubts.isdisjoint(_OF_THE_INPUT):
        return [f"What helps: {'a second' if report.recordings == 1 else 'one more'} {RECORD_MORE}"]
    return []


def next_command(report: ParityReport, arguments: tuple[str, ...] | None = None) -> str | None:
    """Return the one command that helps most now; None where nothing is left to do."""
    given = arguments or _as_scenario(report)
    source = given[0]
    doubts = {reason.doubt for reason in report.reasons}
    imported = _command("traces", "import", "NAME", "--from-folder", source)
    if _not_fitted(report) and doubts.isdisjoint(_OF_THE_INPUT):
        return imported
    if report.verdict is Parity.NO_PARITY:
        about_answers = any(_about_answers(result) for result in report.failed)
        if DIVERGENCE in given or not (about_answers or mock_answered(report)):
            return None
        shown = None if about_answers else _mode_command(report, given)
        return shown or _command("parity", *given, DIVERGENCE)
    if Doubt.PARTIAL in doubts:
        is_live = any("live side" in one.sentence for one in report.reasons if one.doubt is Doubt.PARTIAL)
        return _command("traces", "summarise", given[1] if is_live and not mock_answered(report) else source)
    if Doubt.SAME_FILE in doubts:
        return _command("parity", source)
    if Doubt.NOTHING_ABOUT_ESSAYS in doubts:
        return _command("gauntlet", source)
    if Doubt.NO_ANSWERS in doubts:
        return None
    if report.verdict is Parity.CANNOT_TELL and Doubt.NO_GATE not in doubts and Doubt.INCONCLUSIVE not in doubts:
        if report.scenario.scenario_id == BARE_ID:
            return imported
        return command_for_more(report.scenario, source)
    return _command("tolerances", "propose", source) if report.inconclusive or Doubt.NO_GATE in doubts else None


def _mode_command(report: ParityReport, given: tuple[str, ...]) -> str | None:
    """Return the command about the mode that answered; None where no command takes it by a name."""
    asked = given[-1] if len(given) > 1 else ""
    if _is_file(asked):
        return _command("lps", "mode", asked)
    if not _is_file(report.scenario.mode) or (asked and not asked.startswith("+")):
        return _command("lps", "mode", report.live.document.judge)
    return None if asked else _command("calibrate", given[0])


def _is_file(mode: str) -> bool:
    return mode.partition("+")[0].endswith(".yaml")


def power_lines(report: ParityReport) -> list[str]:
    """Return what this comparison would have found, in sentences."""
    judged = [one for one in report.detections if not one.same_as_recorded]
    lines = []
    if judged:
        lines.append(f"Catches {'; '.join(_by_rate(judged))}.")
    alike = [one.mock.value for one in report.detections if one.same_as_recorded]
    if alike:
        lines.append(f"Not looked for, since the recorded judge does the same: {', '.join(alike)}.")
    seen = [words for result in report.results if (words := _seen(result))]
    if report.limits:
        lines.append(f"{in_words(report.limits)}.")
    elif seen:
        lines.append(f"Single gates would find (in 80 % of runs; gauntlet tries all together): {', '.join(seen)}.")
    if report.blind:
        more = f" and {len(report.blind) - _FEW_NAMES} more" if len(report.blind) > _FEW_NAMES else ""
        lines.append(f"Finds in less than 80 % of runs: {', '.join(report.blind[:_FEW_NAMES])}{more} (see gauntlet).")
    return lines


def _by_rate(detections: list[Detection]) -> list[str]:
    """Return the wrong mocks with the share of runs in which each is found, the surest first."""
    by_rate: dict[int, list[str]] = {}
    for one in sorted(detections, key=lambda one: -one.rate):
        # Rounded down: what is missed in 1 of 1,000 runs is not found in all of them.
        by_rate.setdefault(math.floor(100 * one.rate + 1e-9), []).append(one.mock.value)
    return [f"in {rate} % of runs: {', '.join(mocks)}" for rate, mocks in by_rate.items()]


def _seen(result: CheckResult) -> str:
    """Return the smallest drift of one gate that this comparison finds, in words; empty where there is none."""
    outcome, evidence = result.outcome, result.evidence
    if result.check.name not in _SEEN or outcome is None or evidence is None or not math.isfinite(evidence.detectable):
        return ""
    name, unit = _SEEN[result.check.name]
    if unit != "%":
        return f"{name} from +-{evidence.detectable:.2g} {unit}".rstrip()
    reference = (outcome.live or 0.0) - evidence.difference
    return f"{name} from +-{100 * evidence.detectable / reference:.0f} %" if reference > 0 else ""


def doubt_lines(report: ParityReport) -> list[str]:
    """Return which gates passed without proving much, in sentences."""
    lines = []
    if report.different:
        lines.append(f"Passed within their tolerances, though proven different: {_names(report.different)}.")
    if report.inconclusive:
        lines.append(f"Passed on evidence that settles nothing (inconclusive): {_names(report.inconclusive)}.")
    silent = [one for one in report.on if one.evidence is not None and one.evidence.says_nothing]
    if silent:
        lines.append(f"Says nothing here, since a fair coin would mostly pass: {_names(silent)}.")
    invented = [one for one in report.on if one.check.name in report.invented]
    if invented:
        lines.append(f"Compared with invented values, and not counted: {_names(invented)}.")
    if report.looser:
        count = len(report.looser)
        lines.append(
            f"{count} margin{'s are' if count > 1 else ' is'} looser than in profile {report.scenario.profile}: "
            f"{', '.join(report.looser)}."
        )
    return lines


def given_lines(report: ParityReport) -> list[str]:
    """Return what the verdict takes for granted, in sentences."""
    lines = []
    judge = report.scenario.judge
    if judge is not None:
        lines.append(f"Taken as given: repeatability {judge.repeatability:g}, since {_sentence(judge.reason)}")
    if report.scenario.latency == "host":
        lines.append("Latency is that of a host: margins are a factor of 4 either way.")
    if mock_answered(report) and report.recordings == 1 and not _not_fitted(report):
        lines.append(FITTED_TO_ITSELF)
    return lines


def side_lines(report: ParityReport) -> list[str]:
    """Return who answered on each side, in sentences."""
    more = report.recordings - 1
    recordings = f" (and {more} more recording{'s' if more > 1 else ''})" if more else ""
    return [
        f"Recorded: {report.recorded.document.judge}{recordings}, {_who(report.recorded)}. "
        f"Live: {report.live.document.judge}, {_who(report.live)}.",
        *_prompt(report),
    ]


def _prompt(report: ParityReport) -> list[str]:
    """Return how the recorded judge was asked, where the recording says so."""
    provider = report.scenario.provider
    if provider.prompt is None:
        return []
    warmth = "" if provider.temperature is None else f", temperature {provider.temperature:g}"
    return [f"Asked with prompt {provider.prompt.name} (sha256 {provider.prompt.sha256[:12]}){warmth}."]


def _who(run: RunRecord) -> str:
    """Return who answered a run and its repeats, with how many answers and what was left out."""
    events = run.pooled_events
    judges = Counter(f"{event.data.provider.value} {event.data.model}" for event in events if event.data.succeeded)
    listed = ", ".join(f"{count} answers of {judge}" for judge, count in judges.most_common(3)) or "no answer"
    errors = sum(not event.data.succeeded for event in events)
    left_out = run.document.quarantined_lines
    return (
        listed
        + (f" and {len(judges) - 3} more judges" if len(judges) > 3 else "")
        + (f", {errors} errors" if errors else "")
        + (f", {left_out} lines in quarantine" if left_out else "")
    )


def mock_answered(report: ParityReport) -> bool:
    """Return whether the live side was asked by us, and is no recording."""
    return bool(report.live.document.asked_batch_ids)


def _not_fitted(report: ParityReport) -> bool:
    """Return whether a file without a scenario was held against the mode of those that have none."""
    bare = report.scenario.scenario_id == BARE_ID
    return bare and mock_answered(report) and report.live.document.judge.partition("+")[0] == NO_MODE


def _about_answers(result: CheckResult) -> bool:
    return result.check.name in CHECKS_OF_FIELD["data.winner"] or result.check.group in ("engine", "repeats")


def _as_scenario(report: ParityReport) -> tuple[str, ...]:
    judge = report.live.document.judge
    scenario = report.scenario
    if scenario.scenario_id == BARE_ID:
        return (report.recorded.document.judge, judge)
    if _is_file(scenario.mode):  # which knows its own name, and the report does not
        judge = "+".join((scenario.mode.partition("+")[0], *judge.split("+")[1:]))
    if not mock_answered(report) or judge == scenario.mode:
        return (scenario.scenario_id,)
    return (scenario.scenario_id, "--mode", judge.removeprefix(scenario.mode) if _is_file(judge) else judge)


def _command(*words: str) -> str:
    return f"cj-pipeline {shlex.join(words)}"


def _names(results: tuple[CheckResult, ...] | list[CheckResult]) -> str:
    return ", ".join(result.check.name for result in results)


def _sentence(text: str) -> str:
    """Return a text with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def off_lines(report: ParityReport) -> tuple[str, ...]:
    """Return the checks that are off, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for result in report.results:
        if result.verdict is Verdict.OFF:
            by_reason.setdefault(result.reason, []).append(result.check.name)
    return tuple(f"{', '.join(names)}: {_sentence(reason)}" for reason, names in by_reason.items())
