"""The pictures of two runs show names as they are: `$` in one begins no formula."""

from __future__ import annotations

from cj_pipeline.eng5.alignment.document import Side
from cj_pipeline.eng5.alignment.ladder import ladder_png
from cj_pipeline.eng5.alignment.result import evaluate
from cj_pipeline.reports.plots import latency_plot, theta_plot
from cj_pipeline.runs.record import RunRecord
from tests.eng5.answers import LOWER5 as LABELS
from tests.eng5.answers import case_of, graded, in_order
from tests.sides import LOWER5, recorded, scenario

PNG = b"\x89PNG"
FORMULA = "$\\frac{1}{$"


def named(run: RunRecord) -> RunRecord:
    return run.model_copy(update={"document": run.document.model_copy(update={"judge": FORMULA})})


def test_a_dollar_in_a_judge_or_a_label_is_a_dollar() -> None:
    net = scenario(LOWER5).net
    items = tuple(item.model_copy(update={"label": f"{FORMULA} {item.label}"}) for item in net.items)
    hostile = scenario(LOWER5).model_copy(update={"net": net.model_copy(update={"items": items})})
    run = named(recorded(LOWER5))
    assert theta_plot(hostile, run, run).startswith(PNG)
    assert latency_plot(run, run).startswith(PNG)


def test_a_dollar_in_the_name_of_a_side_is_a_dollar() -> None:
    case = case_of(in_order(list(LABELS)), graded(LABELS))
    sides = [Side(case, evaluate(case), name=FORMULA), Side(case, evaluate(case), name="b")]
    assert ladder_png(sides).startswith(PNG)
