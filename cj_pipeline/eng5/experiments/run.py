"""This module asks the cells of an experiment, one after the other; what was asked before is not asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Flag

from cj_pipeline.eng5.asking import OUT_OF_MONEY, OnProgress
from cj_pipeline.eng5.experiments.cells import Cell
from cj_pipeline.eng5.experiments.experiment import Experiment
from cj_pipeline.eng5.experiments.ledger import SharedPurse
from cj_pipeline.eng5.experiments.plan import CellPlan, LocalModel, require_keys
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.eng5.runner import Note, Whole, run
from cj_pipeline.runs.recording.asking import JudgeAway

OnCell = Callable[[CellPlan], OnProgress]
"""Called before a cell is asked; returns what is called with each of its answers."""


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """How the asking of one cell ended. unfinished: why it has not asked all; None where it has."""

    cell: Cell
    unfinished: str | None


def ask_cells(
    experiment: Experiment,
    plans: tuple[CellPlan, ...],
    *,
    on_cell: OnCell = lambda _: lambda _: None,
    note: Note = lambda _: None,
    stop: Flag | None = None,
    local: LocalModel | None = None,
) -> tuple[CellOutcome, ...]:
    """Ask every cell that is not finished, and return how each ended.

    plans: of the cells that are meant. note: called with a sentence for the person who waits. stop: set by anybody, it
    ends the asking once what is in flight is answered. A judge that is away costs its cell; the limit ends all. Raises
    BadInput where a key is missing, before anything is asked.
    """
    require_keys(plans)
    experiment.keep()
    flag = Flag() if stop is None else stop
    outcomes: list[CellOutcome] = []
    over: str | None = None
    for plan in plans:
        if plan.finished:
            experiment.settle_draft(plan.cell)
            outcomes.append(CellOutcome(plan.cell, None))
        elif over is not None:
            outcomes.append(CellOutcome(plan.cell, over))
        else:
            unfinished, over = _ask_cell(experiment, plan, on_cell(plan), note, flag, local)
            outcomes.append(CellOutcome(plan.cell, unfinished))
    return tuple(outcomes)


def _ask_cell(
    experiment: Experiment,
    plan: CellPlan,
    on_progress: OnProgress,
    note: Note,
    stop: Flag,
    local: LocalModel | None,
) -> tuple[str | None, str | None]:
    """Ask one cell; return why it is unfinished, and why no other is to be asked."""
    cell, options = plan.cell, plan.options
    experiment.begin(cell, plan.begun_with)
    # Equal cells of a mock give equal answers; a real judge is never asked twice under one id.
    key = f"experiment {cell.name} {options.judging.seed}" if options.judging.kind is JudgeKind.MOCK else None
    ledger, limit = experiment.ledger, experiment.grid.max_usd
    try:
        outcome = run(
            options,
            on_progress=on_progress,
            note=note,
            stop=stop,
            local=None if local is None else local.judge(options.temperature, options.max_tokens),
            part_of=Whole(key, lambda _, spent, on_change: SharedPurse(ledger, cell.name, limit, spent, on_change)),
        )
    except JudgeAway as away:
        note(f"{cell.label}: {away}")
        return f"the judge was away: {away}", None
    if outcome.answers is None or outcome.answers.partial is None:
        return None, None
    why = outcome.answers.partial
    return why, why if stop.is_set() or why == OUT_OF_MONEY else None
