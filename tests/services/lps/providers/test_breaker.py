from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.breaker import BreakerProvider, CircuitBreaker, CircuitOpen, CircuitState
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.registry import registered_providers
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers.stand import Stand, queued, stand

OPENAI = {"service": "llm_provider_service", "circuit_name": "llm_openai"}


def broken_stand(**settings: Any) -> Stand:
    """OpenAI behind a breaker."""
    return stand(Provider.OPENAI, circuit_breaker_enabled=True, **settings)


async def fail_times(at: Stand, times: int, status: int = 503) -> None:
    for _ in range(times):
        at.fake.then_error(status, "down")
        assert (await at.fails()).details["http_status"] == status


def test_three_failures_in_a_row_open_it_and_calls_stop() -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 3)
        assert at.provider.circuit_state is CircuitState.OPEN
        await asyncio.sleep(20)
        failure = await at.fails()
        assert failure.code is ErrorCode.EXTERNAL_SERVICE_ERROR
        assert failure.worth_retrying
        assert failure.retry_after_s == pytest.approx(100)  # of the 120 s that it stays open
        assert failure.details["circuit_breaker_state"] == "open"
        assert failure.details["provider"] == "openai"
        assert len(at.fake.received) == 3
        assert at.count("circuit_breaker_state", **OPENAI) == 1
        assert at.count("circuit_breaker_calls_total", **OPENAI, result="failure") == 3
        assert at.count("circuit_breaker_calls_total", **OPENAI, result="rejected") == 1

    run_virtual(main())


def test_it_closes_after_two_successful_probes() -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 3)
        await asyncio.sleep(120)
        await at.ask()
        assert at.provider.circuit_state is CircuitState.HALF_OPEN
        assert at.count("circuit_breaker_state", **OPENAI) == 2
        await at.ask()
        assert at.provider.circuit_state is CircuitState.CLOSED
        moves = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
        for before, after in moves:
            labels = {**OPENAI, "from_state": before, "to_state": after}
            assert at.count("circuit_breaker_state_changes_total", **labels) == 1

    run_virtual(main())


def test_a_failed_probe_opens_it_for_another_two_minutes() -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 3)
        await asyncio.sleep(120)
        await fail_times(at, 1)
        assert at.provider.circuit_state is CircuitState.OPEN
        assert (await at.fails()).retry_after_s == pytest.approx(120)

    run_virtual(main())


def test_one_probe_at_a_time_is_let_through() -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 3)
        await asyncio.sleep(120)
        at.fake.delay_s = 5
        probe = asyncio.create_task(at.ask())
        await asyncio.sleep(1)
        failure = await at.fails()
        assert failure.details["circuit_breaker_state"] == "half_open"
        assert failure.worth_retrying
        assert len(at.fake.received) == 4
        await probe

    run_virtual(main())


def test_a_cancelled_probe_makes_way_for_the_next() -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 3)
        await asyncio.sleep(120)
        at.fake.delay_s = 5
        probe = asyncio.create_task(at.ask())
        await asyncio.sleep(1)
        probe.cancel()
        await asyncio.wait([probe])
        await at.ask()

    run_virtual(main())


def test_a_success_starts_the_count_again() -> None:
    async def main() -> None:
        at = broken_stand()
        for _ in range(5):
            await fail_times(at, 2)
            await at.ask()
        assert at.provider.circuit_state is CircuitState.CLOSED

    run_virtual(main())


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_what_is_not_the_providers_failure_does_not_open_it(status: int) -> None:
    async def main() -> None:
        at = broken_stand()
        await fail_times(at, 10, status)
        assert at.provider.circuit_state is CircuitState.CLOSED
        assert len(at.fake.received) == 10

    run_virtual(main())


def test_nor_does_a_verdict_that_makes_no_sense() -> None:
    async def main() -> None:
        at = broken_stand()
        at.fake.verdict = {"winner": "Essay C"}
        for _ in range(10):
            await at.fails()
        assert at.provider.circuit_state is CircuitState.CLOSED

    run_virtual(main())


def test_timeouts_open_it() -> None:
    async def main() -> None:
        at = broken_stand()
        at.fake.delay_s = 3600
        for _ in range(3):
            assert (await at.fails()).code is ErrorCode.TIMEOUT
        assert at.provider.circuit_state is CircuitState.OPEN

    run_virtual(main())


def test_its_settings_count() -> None:
    async def main() -> None:
        at = broken_stand(
            llm_circuit_breaker_failure_threshold=1,
            llm_circuit_breaker_recovery_timeout=7,
            llm_circuit_breaker_success_threshold=1,
        )
        await fail_times(at, 1)
        assert (await at.fails()).retry_after_s == pytest.approx(7)
        await asyncio.sleep(7)
        await at.ask()
        assert at.provider.circuit_state is CircuitState.CLOSED

    run_virtual(main())


def test_without_it_a_provider_is_asked_every_time() -> None:
    async def main() -> None:
        at = stand(Provider.OPENAI)
        await fail_times(at, 10)
        assert len(at.fake.received) == 10
        assert at.provider.circuit_state is CircuitState.CLOSED
        assert at.count("circuit_breaker_state", **OPENAI) is None

    run_virtual(main())


def test_connections_that_the_machine_refuses_open_it() -> None:
    """Over a real socket, on a real loop: a port that nobody listens on."""

    async def main(port: int) -> None:
        settings = ProviderSettings(openai_api_key="k", openai_base_url=f"http://127.0.0.1:{port}/v1")
        provider = registered_providers(settings, load_manifest(), ProviderMetrics(CollectorRegistry()))[
            Provider.OPENAI
        ]
        codes = []
        try:
            for _ in range(4):
                with pytest.raises(ProviderError) as caught:
                    await provider.answer(queued(Provider.OPENAI), 0)
                codes.append(caught.value.failure.code)
        finally:
            await provider.aclose()
        assert codes == [ErrorCode.CONNECTION_ERROR] * 3 + [ErrorCode.EXTERNAL_SERVICE_ERROR]
        assert provider.circuit_state is CircuitState.OPEN

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        asyncio.run(main(taken.getsockname()[1]))


class Silent:
    """Metrics that are not looked at."""

    def circuit_state(self, *_: object) -> None: ...

    def circuit_changed(self, *_: object) -> None: ...

    def circuit_called(self, *_: object) -> None: ...


def breaker(**settings: Any) -> CircuitBreaker:
    return CircuitBreaker(
        "test",
        Silent(),
        **{"failure_threshold": 3, "recovery_timeout_s": 120.0, "success_threshold": 2, **settings},
    )


def test_a_call_that_began_before_a_change_does_not_count_after_it() -> None:
    async def main() -> None:
        circuit = breaker(failure_threshold=1)
        early, late = circuit.admit(), circuit.admit()
        circuit.failed(early)
        await asyncio.sleep(120)
        probe = circuit.admit()
        circuit.failed(late)
        assert circuit.state is CircuitState.HALF_OPEN
        with pytest.raises(CircuitOpen):
            circuit.admit()
        circuit.succeeded(probe)
        circuit.admit()

    run_virtual(main())


def admits(circuit: CircuitBreaker) -> bool:
    """Whether an open breaker's time is over; if not, it says how long it still takes."""
    try:
        period = circuit.admit()
    except CircuitOpen as refusal:
        left_s = refusal.retry_after_s
    else:
        circuit.uncounted(period)
        return True
    assert left_s is not None
    assert 0 < left_s <= 120
    return False


@given(st.lists(st.sampled_from(["succeeded", "failed", "uncounted", "wait"]), max_size=60), st.integers(1, 4))
def test_it_never_gets_stuck(outcomes: list[str], threshold: int) -> None:
    """Whatever happened, two successes after the recovery timeout close it."""

    async def main() -> None:
        circuit = breaker(failure_threshold=threshold)
        for outcome in outcomes:
            if outcome == "wait":
                await asyncio.sleep(61)
                continue
            if circuit.state is CircuitState.OPEN and not admits(circuit):
                continue
            period = circuit.admit()
            getattr(circuit, outcome)(period)
        await asyncio.sleep(120)
        for _ in range(2):
            circuit.succeeded(circuit.admit())
        assert circuit.state is CircuitState.CLOSED

    run_virtual(main())


def test_closing_a_provider_closes_what_is_behind_its_breaker() -> None:
    async def main() -> None:
        at = broken_stand()
        assert isinstance(at.provider, BreakerProvider)
        await at.provider.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await at.ask()

    run_virtual(main())
