"""A process dies, or a reply gets lost, at every point of a job's life: no request is submitted twice for it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import BadInput
from tests.services.lps.providers.batches.stand import BOTH, Stand, at_a_stand, requests

both = pytest.mark.parametrize("provider", BOTH)


@both
@pytest.mark.parametrize(
    ("submit", "after_s"),
    [
        (["unsent and hang"], 5.0),  # stored, and not yet sent
        (["hang"], 5.0),  # sent, and the reply not yet read
        ([], 600.0),  # its id is stored, and it is waited for
        ([], 1.0),
    ],
    ids=["before it is sent", "before its id is stored", "while it is waited for", "as soon as its id is stored"],
)
def test_a_process_that_dies_leaves_a_job_that_the_next_one_finds(
    provider: Provider, submit: list[str], after_s: float, tmp_path: Path
) -> None:
    asked = requests(provider, 4)

    async def script(stand: Stand) -> Any:
        await stand.killed_while_answering(asked, after_s)
        assert len(stand.stored()) == 1
        batches = stand.process()
        outcomes = await batches.answer(asked)
        await batches.forget(asked)
        assert stand.stored() == []
        return outcomes, Counter(stand.fake.submitted)

    outcomes, submitted = at_a_stand(provider, tmp_path, script, submit=submit)
    assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())
    assert submitted == {str(request.queue_id): 1 for request in asked}


@both
def test_a_process_that_dies_with_the_answers_in_hand_reads_them_again(provider: Provider, tmp_path: Path) -> None:
    asked = requests(provider, 3)

    async def script(stand: Stand) -> Any:
        first = await stand.process().answer(asked)
        second = await stand.process().answer(asked)
        assert len(stand.fake.submitted) == 3
        return first, second

    first, second = at_a_stand(provider, tmp_path, script)
    assert {key: one.winner for key, one in first.items()} == {key: one.winner for key, one in second.items()}


@both
@pytest.mark.parametrize("reply", ["reset", "504"])
def test_a_reply_that_gets_lost_is_no_reason_to_submit_again(provider: Provider, reply: str, tmp_path: Path) -> None:
    asked = requests(provider, 3)

    async def script(stand: Stand) -> Any:
        outcomes = await stand.process().answer(asked)
        assert len(stand.fake.submitted) == 3
        return outcomes

    outcomes = at_a_stand(provider, tmp_path, script, submit=[reply])
    assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())


@both
def test_a_submission_that_never_arrived_is_a_failure_to_try_again(provider: Provider, tmp_path: Path) -> None:
    asked = requests(provider, 2)

    async def script(stand: Stand) -> Any:
        batches = stand.process()
        first = await batches.answer(asked)
        assert stand.stored() == []
        return first, await batches.answer(asked), len(stand.fake.submitted)

    first, second, submitted = at_a_stand(provider, tmp_path, script, submit=["unsent"])
    assert all(isinstance(outcome, Failure) and outcome.worth_retrying for outcome in first.values())
    assert all(isinstance(outcome, ProviderAnswer) for outcome in second.values())
    assert submitted == 2


@both
def test_somebody_elses_job_of_the_same_size_is_not_taken_for_ours(provider: Provider, tmp_path: Path) -> None:
    asked, others = requests(provider, 3), requests(provider, 3, first=100)

    async def script(stand: Stand) -> Any:
        stranger = Stand(provider, tmp_path / "other", stand.fake, stand.clock)
        strangers = asyncio.create_task(_of(stranger, others))
        await stand.killed_while_answering(asked, 5.0)
        outcomes = await stand.process().answer(asked)
        await strangers
        return outcomes, Counter(stand.fake.submitted)

    outcomes, submitted = at_a_stand(provider, tmp_path, script, submit=["unsent and hang"])
    assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())
    assert set(submitted.values()) == {1}
    assert len(submitted) == 6


async def _of(stand: Stand, asked: Any) -> Any:
    return await stand.process().answer(asked)


@both
def test_requests_of_one_job_may_come_back_apart(provider: Provider, tmp_path: Path) -> None:
    """The queue gives back what a dead process held in bundles of its own."""
    asked = requests(provider, 5)

    async def script(stand: Stand) -> Any:
        await stand.killed_while_answering(asked, 60.0)
        batches = stand.process()
        news = requests(provider, 1, first=50)
        one, two = await asyncio.gather(batches.answer(asked[:2]), batches.answer([*asked[2:], *news]))
        await batches.forget(asked[:2])
        await batches.forget([*asked[2:], *news])
        assert stand.stored() == []
        return {**one, **two}, Counter(stand.fake.submitted)

    outcomes, submitted = at_a_stand(provider, tmp_path, script)
    assert len(outcomes) == 6
    assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())
    assert set(submitted.values()) == {1}


@both
def test_a_job_that_the_provider_has_lost_is_submitted_again(provider: Provider, tmp_path: Path) -> None:
    asked = requests(provider, 2)

    async def script(stand: Stand) -> Any:
        await stand.killed_while_answering(asked, 60.0)
        stand.fake.jobs.clear()
        return await stand.process().answer(asked)

    assert all(isinstance(one, ProviderAnswer) for one in at_a_stand(provider, tmp_path, script).values())


@both
def test_what_failed_for_a_while_is_in_a_new_job_and_what_was_answered_is_not(
    provider: Provider, tmp_path: Path
) -> None:
    asked = requests(provider, 3)
    expired = str(asked[0].queue_id)

    async def script(stand: Stand) -> Any:
        batches = stand.process()
        first = await batches.answer(asked)
        await batches.forget(asked)
        second = await batches.answer(asked[:1])
        return first, second, Counter(stand.fake.submitted)

    first, second, submitted = at_a_stand(
        provider, tmp_path, script, judge=lambda name, before: "expired" if name == expired and not before else "ok"
    )
    assert isinstance(first[asked[0].queue_id], Failure)
    assert isinstance(second[asked[0].queue_id], ProviderAnswer)
    assert submitted == {str(request.queue_id): 2 if request is asked[0] else 1 for request in asked}


@both
def test_a_new_process_tells_of_open_jobs_and_forgets_those_that_are_too_old(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(stand: Stand) -> None:
        await stand.killed_while_answering(requests(provider, 2), 60.0)
        stand.process().look_back()
        assert len(stand.stored()) == 1
        await asyncio.sleep(timedelta(days=30).total_seconds())
        stand.process().look_back()
        assert stand.stored() == []

    with caplog.at_level(logging.INFO):
        at_a_stand(provider, tmp_path, script)
    told = [record for record in caplog.records if record.getMessage().startswith("a job is open")]
    assert [record.requests for record in told] == [2]  # type: ignore[attr-defined]


@both
def test_a_stored_file_that_is_no_job_stops_nobody(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(stand: Stand) -> Any:
        stand.folder.mkdir(parents=True)
        (stand.folder / "half.json").write_text('{"job_id": ')
        return await stand.process().answer(requests(provider, 1))

    outcomes = at_a_stand(provider, tmp_path, script)
    assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())
    assert "half.json' is no stored job" in caplog.text


def test_a_folder_that_cannot_be_written_is_found_out_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file where the folder should be")

    async def script(stand: Stand) -> None:
        with pytest.raises(BadInput, match="BATCH_API_JOBS_PATH"):
            stand.process().look_back()

    at_a_stand(Provider.OPENAI, tmp_path, script)
