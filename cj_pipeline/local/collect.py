"""The callbacks of one driven batch, off the topic and into a trace folder.

Here: what is asked of a capture. Not here: the capture (traces/capture/).
"""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.capture.request import CaptureRequest, Selection
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.store import Trace, read_trace


class NotWhole(CjPipelineError):
    """A capture that lacks something of a batch that is over."""


def captured_batch(
    kafka: KafkaSettings, scenario: Scenario, scenario_folder: Path, bos_batch_id: str, trace_id: str, output_dir: Path
) -> Trace:
    """Capture a batch that is over: every callback is on the topic by then, so its end is the end to read to.

    scenario_folder: of the scenario that was judged, whose net and settings the trace takes over;
    trace_id: name of the new folder in output_dir.
    Nothing is redacted: the essay ids stand in the scenario already, and the texts are placeholders.
    Raises NotWhole, and whatever capture raises.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    request = CaptureRequest(
        scenario_id=trace_id,
        traces_dir=output_dir,
        selection=Selection(bos_batch_id=bos_batch_id),
        redaction=None,
        topic=scenario.batch.callback_topic,
        choices=ScenarioChoices(like=scenario_folder),
    )
    result = capture(request, kafka)
    if result.partial:
        raise NotWhole(f"{bos_batch_id}: the capture is partial: {'; '.join(result.missing)}.")
    return read_trace(request.target)
