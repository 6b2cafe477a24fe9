"""A redacted trace is not compared under a mode that knows its essays by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.essays import renamed_mode
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.new_trace_mode import require_mode_for_pseudonyms
from cj_pipeline.traces.captured_scenario import ScenarioChoices
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms

LOWER5 = Path(__file__).parents[2] / "traces" / "eng5_lower5_gpt51_low_20251202"


def test_the_mode_of_the_scenario_that_is_taken_over_may_not_name_essays() -> None:
    with pytest.raises(BadInput, match=r"scenario\.yaml: mode: 'eng5_lower5_gpt51_low' names essays"):
        require_mode_for_pseudonyms(ScenarioChoices(like=LOWER5))


def test_nor_may_one_that_is_chosen() -> None:
    with pytest.raises(BadInput, match="'eng5_lower5_gpt51_low' names essays"):
        require_mode_for_pseudonyms(ScenarioChoices(mode="eng5_lower5_gpt51_low"))


@pytest.mark.parametrize("choices", [ScenarioChoices(), ScenarioChoices(like=LOWER5, mode="default")])
def test_a_mode_that_names_none_may(choices: ScenarioChoices) -> None:
    require_mode_for_pseudonyms(choices)


def test_a_file_of_ones_own_may_not_for_its_path_would_stand_in_the_trace(tmp_path: Path) -> None:
    file = tmp_path / "asa_lindqvist.yaml"
    file.write_text(renamed_mode(load_mode("eng5_lower5_gpt51_low"), "mode", Pseudonyms(bytes(32)).essay))
    for expression in (str(file), f"{file}+instant"):
        with pytest.raises(BadInput, match="is a file, and its path would be in the trace") as refused:
            require_mode_for_pseudonyms(ScenarioChoices(mode=expression))
        assert "asa_lindqvist" not in str(refused.value)
