"""This module drives one batch through a running stack, and compares it with the embedded stack by parity.

A mock's answer follows from mode, seed, correlation id and attempt. The embedded run asks under the ids of the captured
callbacks, so its answers are not like those of the stack but the same, or something between the two is broken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.local.drive import DriveRequest, Report, StackAddress, ask_stack
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.parity.compare import ParityReport, compare
from cj_pipeline.runs.cj_service import CjAnswer
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import Events, JudgeIdentity, replay, run_live
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.request import CaptureRequest
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.scenario import SCENARIO_FILE, Profile, Scenario
from cj_pipeline.traces.store import Trace, read_trace

# Logits. The service and the replay fit the same answers by the same code; the order of the additions may differ.
SCORE_TOLERANCE = 1e-6


class NotWhole(CjPipelineError):
    """A capture that lacks something of a batch that is over."""


@dataclass(frozen=True, slots=True)
class DrivenBatch:
    """A batch that is over, and what parity says of it.

    trace: the captured folder; seconds: from the request to the last event; recorded: the captured callbacks through
    the engine, live: the same comparisons on the embedded stack.
    """

    bos_batch_id: str
    answer: CjAnswer
    trace: Path
    seconds: float
    parity: ParityReport

    @property
    def score_difference(self) -> float | None:
        """Return the largest difference of a published score from the replay's, in logits; None without such a pair."""
        if self.answer.result is None:
            return None
        published = {essay.essay_id: essay.bt_score for essay in self.answer.result.essay_results}
        return largest_difference(published, self.parity.recorded)

    @property
    def agrees(self) -> bool:
        """Return whether no gate failed, and the CJ service published the scores that the captured callbacks give.

        The two sides were asked under the same ids, so parity takes them for one file and cannot tell more.
        """
        difference = self.score_difference
        return not self.parity.failed and difference is not None and difference <= SCORE_TOLERANCE


def largest_difference(published: Mapping[str, float], replayed: RunRecord) -> float | None:
    """Return the largest difference in logits, each side centred; None when the essays are not the same."""
    scores = {essay.essay_id: essay.theta for essay in replayed.document.fit.essays}
    if not scores or published.keys() != scores.keys():
        return None
    shift = (sum(published.values()) - sum(scores.values())) / len(scores)
    return max(abs(published[essay] - scores[essay] - shift) for essay in scores)


def drive(stack: StackAddress, request: DriveRequest, report: Report = lambda _: None) -> DrivenBatch:
    """Drive the scenario's net through the stack, and compare what comes of it with the embedded stack.

    report: called with a sentence as each step begins.
    Raises BadInput where there is a trace of that label, and when the LPS runs another mode; ServiceUnreachable,
    NotFinished, NotWhole, and what capture raises.
    """
    if (request.output_dir / request.trace_id).exists():
        # Found out in a moment instead of after the batch; the CJ service does not begin the same batch twice.
        raise BadInput("exists.", path=request.output_dir / request.trace_id, remedy="Give the batch another --label.")
    report(
        f"{request.bos_batch_id}: asking on {stack.kafka.bootstrap_servers}, waiting {request.timeout_s:g} s at most"
    )
    began = time.perf_counter()
    answer = asyncio.run(ask_stack(stack, request, report))
    seconds = time.perf_counter() - began
    report(f"over after {seconds:.1f} s; capturing")
    trace = _captured(stack.kafka, request)
    report("replaying, and asking the embedded stack the same")
    events = tuple(line.event for line in trace.callbacks.events)
    judge = JudgeIdentity(trace.scenario.scenario_id, trace.sha256)
    report_of_both = compare_with_embedded(trace.scenario, events, judge, request.mode)
    return DrivenBatch(request.bos_batch_id, answer, trace.folder, seconds, report_of_both)


def compare_with_embedded(scenario: Scenario, events: Events, judge: JudgeIdentity, mode: Mode) -> ParityReport:
    """Put the comparisons of a captured batch to the embedded stack under their own ids, and compare both.

    events: the captured callbacks; judge: what they are called in the report.
    """
    # The CJ service paired by itself; both sides here follow the pairs that it asked for. It was asked for one batch.
    engine = scenario.engine.model_copy(update={"pairing": Pairing.RECORDED})
    one_batch = scenario.live.model_copy(update={"repeats": None})
    # Without floors, its own and its profile's: what a real judge reached says nothing about two runs of one mock.
    own: dict[str, object] = {"profile": Profile.JUDGE, "tolerances": {}, "expect": None}
    scenario = scenario.model_copy(update={"engine": engine, "live": one_batch, **own})
    recorded = replay(scenario, events, side=Side.RECORDED, judge=judge)
    live = run_live(scenario, events, mode, same_ids=True)
    return compare(scenario, recorded, live, scenario_file=SCENARIO_FILE)


def _captured(kafka: KafkaSettings, request: DriveRequest) -> Trace:
    """Capture a batch that is over: every callback is on the topic by then, so its end is the end to read to."""
    request.output_dir.mkdir(parents=True, exist_ok=True)
    wanted = CaptureRequest(
        scenario_id=request.trace_id,
        traces_dir=request.output_dir,
        selection=Selection(bos_batch_id=request.bos_batch_id),
        # The essay ids are in the scenario already, and the texts are placeholders.
        redaction=None,
        topic=request.scenario.batch.callback_topic,
        choices=ScenarioChoices(like=request.scenario_folder),
    )
    result = capture(wanted, kafka)
    if result.partial:
        raise NotWhole(f"{request.bos_batch_id}: the capture is partial: {'; '.join(result.missing)}.")
    return read_trace(wanted.target)
