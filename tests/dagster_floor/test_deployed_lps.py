"""This module tests a live side in front of a deployed LPS, as a nightly run would have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.remote import CALLBACK_TOPIC
from resources.bus import BusResource
from resources.lps import LpsResource
from tests.services.lps.served import Served
from tests.sides import LOWER5, trace


def test_a_url_in_the_configuration_asks_the_service_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = trace(LOWER5)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    # Where the service puts its callbacks: callbacks/ below the data folder.
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path))
    settings = {"use_mock_llm": True, "queue_processing_mode": "serial_bundle"}
    with Served(tmp_path, mock_mode="eng5_lower5_gpt51_low+instant", **settings) as service:
        resource = LpsResource(bus=BusResource(), mode="+instant", url=service.url)
        answers = resource.answers(found.scenario, found)
        # 10 pairs, and ten repeats of them.
        assert (len(answers.events), [len(batch) for batch in answers.repeats]) == (10, [10] * 10)
        assert len(service.callbacks(CALLBACK_TOPIC)) == 110
        with pytest.raises(BadInput, match=r"runs 'eng5_lower5_gpt51_low\+instant'.*lps serve --mode"):
            LpsResource(bus=BusResource(), url=service.url).answers(found.scenario, found)
