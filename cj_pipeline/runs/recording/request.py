"""This module holds what a recording is asked for, as one value, and what makes two of them the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import SCENARIO, require_name
from cj_pipeline.runs.recording.adding import Addition
from cj_pipeline.runs.recording.design import pairs_of
from cj_pipeline.runs.recording.essays import Essays
from cj_pipeline.runs.recording.prompts import PromptVariant
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.recording_provenance import RecordedJudge, RecordedPrompt
from cj_pipeline.traces.redactor import Redactor

MOST_RUNS = 20


@dataclass(frozen=True, slots=True)
class RecordingRequest:
    """One recording: essays, judge and prompt, how often, and the folder `traces_dir/scenario_id` that it becomes.

    addition: what is asked beside the recording that is there; None for a new one. comparisons: in each run; None for
    every pair once. both_orders: every pair once more with the other essay first. on_this_machine: whether the model
    runs here, so that its latency is this machine's load. budget_usd: for all runs together. redaction: None to keep
    names and sentences as they are. graded_strangers: known grades of no essay here.
    """

    scenario_id: str
    traces_dir: Path
    essays: Essays
    judge: RecordedJudge
    prompt: PromptVariant
    redaction: Redactor | None
    choices: ScenarioChoices = field(default_factory=ScenarioChoices)
    graded_strangers: tuple[str, ...] = ()
    addition: Addition | None = None
    comparisons: int | None = None
    both_orders: bool = False
    runs: int = 2
    seed: int = 1
    concurrency: int = 1
    on_this_machine: bool = False
    budget_usd: float | None = None

    @property
    def target(self) -> Path:
        """Return the folder of the finished trace."""
        return self.traces_dir / self.scenario_id

    @property
    def pairs(self) -> int:
        """Return how many pairs the essays have."""
        return pairs_of(len(self.essays.texts))

    @property
    def chosen_by_engine(self) -> bool:
        """Return whether there are fewer comparisons than pairs, so that the engine chooses them."""
        return self.addition is None and self.comparisons is not None and self.comparisons < self.pairs

    @property
    def comparisons_a_run(self) -> int:
        """Return how many comparisons each run asks."""
        if self.addition is not None:
            return self.addition.comparisons
        return self.comparisons or self.pairs * (2 if self.both_orders else 1)

    def overrides(self) -> LLMConfigOverrides:
        """Return whom every request asks."""
        judge = self.judge
        return LLMConfigOverrides(
            provider_override=judge.provider,
            model_override=judge.model,
            temperature_override=judge.temperature,
            max_tokens_override=judge.max_tokens,
            reasoning_effort=judge.reasoning_effort,
            output_verbosity=judge.output_verbosity,
        )

    def texts_sha256(self) -> str:
        """Return a digest of all essays and their names, under the key of the redaction where there is one."""
        content = json.dumps(dict(self.essays.texts), sort_keys=True, ensure_ascii=False).encode()
        return sha256(content).hexdigest() if self.redaction is None else self.redaction.message_digest(content)

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for another session to go on with a recording, by name; JSON values."""
        redaction = self.redaction
        return {
            **self.judge.model_dump(mode="json"),
            "prompt": self.prompt.sha256,
            "essays": self.texts_sha256(),
            "comparisons": self.comparisons_a_run,
            "both_orders": self.both_orders,
            "runs": self.runs,
            "addition": None if self.addition is None else self.addition.digest,
            "seed": self.seed,
            "redaction": None if redaction is None else [redaction.key_id, redaction.policy.model_dump(mode="json")],
        }


def require_usable(request: RecordingRequest) -> None:
    """Raise BadInput for a request that cannot be meant, naming its option."""
    require_name(request.scenario_id, SCENARIO, path="record", field="scenario_id")
    if not 1 <= request.runs <= MOST_RUNS:
        raise _refusal("runs", f"{request.runs} is not between 1 and {MOST_RUNS}.", "Two show its repeatability.")
    wanted = request.comparisons
    if wanted is None or request.addition is not None:
        return
    if request.both_orders:
        raise _refusal("both_orders", "goes with every pair, not with a number of comparisons.", "Leave one out.")
    if wanted > request.pairs:
        problem = f"{wanted} are more than the {request.pairs} pairs of {len(request.essays.texts)} essays."
        raise _refusal("comparisons", problem, "Leave it out for every pair, or ask both orders, or in more runs.")
    if wanted < len(request.essays.texts) - 1:
        problem = f"{wanted} comparisons cannot connect {len(request.essays.texts)} essays."
        raise _refusal("comparisons", problem, f"Ask at least {len(request.essays.texts) - 1}.")


def require_same(request: RecordingRequest, *, whole_design: bool = True) -> None:
    """Raise BadInput unless the trace that is there is of this judge, prompt and essays, naming what differs.

    whole_design: whether seed and number of comparisons have to be the same as well.
    """
    provenance = read_provenance(request.target)
    recorded, redaction = provenance.recorded, provenance.redaction
    if recorded is None:
        raise not_recorded(request.target)
    key, own_key = (None if one is None else one.key_id for one in (redaction, request.redaction))
    there, asked = recorded.judge.model_dump(mode="json"), request.judge.model_dump(mode="json")
    values: list[tuple[str, object, object]] = [(name, there[name], asked[name]) for name in asked]
    values += [("prompt", _prompt(recorded.prompt), _prompt(request.prompt)), ("redaction key", key, own_key)]
    if whole_design:
        design = recorded.design
        values += [("seed", design.seed, request.seed), ("comparisons", design.comparisons, request.comparisons_a_run)]
    for name, before, now in values:
        if before != now:
            raise _of_another(request, f"{name.replace('_', ' ')}: {_shown(before)} and not {_shown(now)}")
    if request.texts_sha256() != recorded.texts_sha256:
        raise _of_another(request, "set of texts: the essays of this folder are not those that were judged")


def _of_another(request: RecordingRequest, what: str) -> BadInput:
    return BadInput(
        f"is a recording with another {what}.",
        path=request.target,
        remedy="Ask as it was asked, or record under another scenario id.",
    )


def not_recorded(target: Path) -> BadInput:
    """Return the refusal of a trace whose judge cannot be asked again, since nobody knows how it was asked."""
    return BadInput(
        "was not made by `cj-pipeline record`, so nobody knows how its judge was asked.",
        path=target,
        remedy="Record under another scenario id, or add what you have with: "
        f"cj-pipeline traces import --into {target}",
    )


def _prompt(prompt: RecordedPrompt | PromptVariant) -> str:
    return f"{prompt.name} (sha256 {prompt.sha256[:12]})"


def _shown(value: object) -> object:
    return "none" if value is None else value


def _refusal(field: str, problem: str, remedy: str) -> BadInput:
    return BadInput(problem, path="record", field=field, remedy=remedy)
