"""This module says what an experiment will ask, what that costs and whether it can be asked, before anything is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.design import Design, design_of
from cj_pipeline.eng5.draft import draft_folder, kept_answers
from cj_pipeline.eng5.experiments.cells import Cell
from cj_pipeline.eng5.experiments.experiment import CELL_FILE, MODE, WHEN_DAMAGED, Experiment
from cj_pipeline.eng5.experiments.prompts import prompt_options
from cj_pipeline.eng5.inputs import SHIPPED_NET
from cj_pipeline.eng5.judges import description, judge_for
from cj_pipeline.eng5.options import DEFAULT_MOCK_MODE, JudgeKind, Judging, RunnerOptions
from cj_pipeline.eng5.runner import begun_with, prepare
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import UnknownMode
from cj_pipeline.runs.recording.books import JudgeBehindLps, require_key, worst_call_usd
from cj_pipeline.runs.recording.estimate import TYPICAL_SECONDS, typical_prompt_tokens
from cj_pipeline.runs.recording.options import price_of_million
from cj_pipeline.runs.recording.spending import TYPICAL_COMPLETION_TOKENS
from cj_pipeline.traces.recording_provenance import RecordedJudge

# A day: a cell ends by its answers, by the limit or by a person.
_TIMEOUT_S = 86_400.0

# What the runner's options are called in a grid.
_KEYS = {
    "llm_model": "model", "llm_provider": "provider", "llm_temperature": "temperature", "llm_max_tokens": "max_tokens",
    "temperature_override": "temperature", "max_tokens_override": "max_tokens", "model_override": "model",
    "reasoning_effort": "effort", "output_verbosity": "verbosity",
    "system_prompt": "prompt", "system": "prompt", "rubric": "prompt",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocalModel:
    """The model on this machine. judge: it, asked at a temperature and with a limit of tokens; None for its own."""

    base_url: str
    judge: Callable[[float | None, int | None], RecordedJudge]


@dataclass(frozen=True, slots=True)
class CellPlan:
    """What one cell has still to ask.

    usd, most_usd: for what is left, as typical and as the longest answers cost; None where nobody knows the price, and
    of a mock what its provider would cost. seconds: about, of a real judge. prompt_tokens: of a typical prompt. judge:
    who is asked, to be looked at and not to be entered.
    """

    cell: Cell
    options: RunnerOptions
    begun_with: dict[str, Any]
    wanted: int
    answered: int
    finished: bool
    prompt_tokens: float
    usd: float | None
    most_usd: float | None
    seconds: float
    judge: JudgeBehindLps

    @property
    def left(self) -> int:
        """How many comparisons are still to be asked."""
        return 0 if self.finished else self.wanted - self.answered


def plan_of(
    experiment: Experiment, *, local: LocalModel | None = None, cells: tuple[Cell, ...] | None = None
) -> tuple[CellPlan, ...]:
    """Return what each cell has to ask, in the order of the grid. cells: all by default.

    local: the model on this machine, for judge `local`. Raises BadInput naming the place of the grid: a model, prompt
    or key that cannot be used, a limit that no call fits into, a cell that was finished as another configuration.
    """
    grid, source = experiment.grid, experiment.source
    if grid.judge is not JudgeKind.PROVIDER and (grid.max_usd is not None or grid.base_url is not None):
        key = "max_usd" if grid.max_usd is not None else "base_url"
        raise source.problem((key,), "goes with a judge that costs money.", "Ask one: judge: provider.")
    with tempfile.TemporaryDirectory(prefix="cj-pipeline-experiment-") as folder:
        return tuple(
            _cell_plan(experiment, cell, local, Path(folder) / str(number))
            for number, cell in enumerate(experiment.cells if cells is None else cells)
        )


def require_keys(plans: Iterable[CellPlan]) -> None:
    """Raise BadInput where a cell that is to be asked wants a key that nobody gave."""
    for plan in plans:
        if plan.left:
            require_key(plan.judge)


def _cell_plan(experiment: Experiment, cell: Cell, local: LocalModel | None, folder: Path) -> CellPlan:
    grid = experiment.grid
    try:
        options = options_of(experiment, cell, local)
        prepared = prepare(options)
        model = None if local is None else local.judge(options.temperature, options.max_tokens)
        judge = judge_for(options, folder / "asked", local=model)
        named = description(options, judge)
        design = design_of(options, prepared.inventory, judge.through, named, prepared.grade_scale)
        _require_askable(experiment, cell, judge, design)
    except UnknownMode as error:
        raise experiment.source.problem((*cell.keys, "mock_mode"), str(error)) from None
    except BadInput as error:
        raise _placed(experiment, cell, error) from None
    begun = begun_with(prepared, design, named)
    finished = experiment.is_finished(cell)
    if finished:
        _require_same(experiment, cell, begun)
    answered = 0 if finished else kept_answers(draft_folder(options.output_dir, MODE))
    left = 0 if finished else design.wanted - answered
    tokens = typical_prompt_tokens(design.prompt, design.asked.texts)
    usd, most_usd = _price(options, judge, tokens, folder / "priced")
    return CellPlan(
        cell=cell,
        options=options,
        begun_with=begun,
        wanted=design.wanted,
        answered=design.wanted if finished else answered,
        finished=finished,
        prompt_tokens=tokens,
        usd=None if usd is None else left * usd,
        most_usd=None if most_usd is None else left * most_usd,
        seconds=left * TYPICAL_SECONDS / grid.concurrency,
        judge=judge,
    )


def options_of(experiment: Experiment, cell: Cell, local: LocalModel | None = None) -> RunnerOptions:
    """Return the options of the run of one cell. Raises BadInput for a prompt that cannot be read."""
    grid, choice = experiment.grid, cell.configuration
    plain = RunnerOptions(
        mode=MODE,
        output_dir=experiment.cell_folder(cell),
        net=SHIPPED_NET if grid.net is None else experiment.source.root / grid.net,
        batch_id=f"{grid.name}: {cell.name}",
        provider=choice.provider,
        model=choice.model,
        temperature=choice.temperature,
        max_tokens=choice.max_tokens,
        effort=choice.effort,
        verbosity=choice.verbosity,
        batching_mode=choice.batching,
        max_comparisons=grid.comparisons,
        fixed_pairs=True,
        both_orders=grid.both_orders,
        timeout_s=_TIMEOUT_S,
        judging=Judging(
            kind=grid.judge,
            mock_mode=choice.mock_mode or DEFAULT_MOCK_MODE,
            seed=grid.seed,
            concurrency=grid.concurrency,
            budget_usd=grid.max_usd,
            base_url=grid.base_url if local is None else local.base_url,
            price=None if grid.price_per_million is None else price_of_million(*grid.price_per_million),
        ),
    )
    return prompt_options(plain, choice.prompt, experiment.source.root)


def _require_askable(experiment: Experiment, cell: Cell, judge: JudgeBehindLps, design: Design) -> None:
    grid, source, choice = experiment.grid, experiment.source, cell.configuration
    if grid.judge is JudgeKind.LOCAL and (choice.provider or choice.model):
        raise source.problem((*cell.keys, "model"), "judge local brings its own model.", "Leave it out.")
    if grid.judge is not JudgeKind.MOCK and choice.mock_mode:
        raise source.problem((*cell.keys, "mock_mode"), "is of the mock, and a real judge is asked.", "Leave it out.")
    if grid.max_usd is None:
        return
    if judge.price is None:
        raise source.problem(
            ("max_usd",),
            f"nobody knows what {judge.judge.model} costs, so no limit could hold.",
            "State it: price_per_million, of input and output.",
        )
    worst = worst_call_usd(judge, judge.price, design.prompt, design.asked.texts)
    if worst > grid.max_usd:
        raise source.problem(
            ("max_usd",),
            f"{grid.max_usd:g} USD do not allow one call of {cell.label}, which may cost {worst:.4g} USD at its worst.",
            "Give more, or fewer max_tokens.",
        )


def _placed(experiment: Experiment, cell: Cell, error: BadInput) -> BadInput:
    """Return an error about a run's option as one about the place of the grid that it comes from."""
    source = experiment.source
    if str(error.path) not in ("eng5", "record") or error.field is None:
        return error
    key = _KEYS.get(error.field, error.field)
    keys = (*cell.keys, key) if key in type(cell.configuration).model_fields else (key,)
    about = "" if len(experiment.cells) == 1 else f"{cell.label}: "
    return source.problem(keys, f"{about}{error.problem}", error.remedy)


def _require_same(experiment: Experiment, cell: Cell, wanted: dict[str, Any]) -> None:
    begun = experiment.begun_with(cell)
    if begun is None:
        path = experiment.cell_folder(cell) / CELL_FILE
        raise BadInput("is missing, so nobody knows what this cell was asked with.", path=path, remedy=WHEN_DAMAGED)
    for name, value in begun.items():
        if wanted.get(name) != value:
            raise BadInput(
                "is not what this cell was asked with.",
                path=experiment.cell_folder(cell),
                field=name,
                remedy="Ask as before, give the grid another name, or forget all answers with --restart.",
            )


def _price(
    options: RunnerOptions, judge: JudgeBehindLps, tokens: float, folder: Path
) -> tuple[float | None, float | None]:
    """Return US dollars of one comparison, typical and at most; of a mock, those of the provider it stands for."""
    if options.judging.kind is JudgeKind.MOCK:
        judge = judge_for(replace(options, judging=replace(options.judging, kind=JudgeKind.PROVIDER)), folder)
    if judge.price is None:
        return None, None
    most = judge.most_output_tokens
    return judge.price.of(tokens, min(most, TYPICAL_COMPLETION_TOKENS)), judge.price.of(tokens, most)
