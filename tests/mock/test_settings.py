from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.errors import Bursts
from cj_pipeline.mock.mode.files import load_mode, mode_names
from cj_pipeline.mock.mode.latency import ConstantLatency, UniformLatency
from cj_pipeline.mock.mode.mode import Mode, PromptWords
from cj_pipeline.mock.settings import MockSettings, OutcomeMode, with_settings
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.mock import MockProvider
from tests.mock.recordings import recorded, replaying
from tests.services.lps.lab import mode, queued

ANCHOR = "eng5_anchor_gpt51_low"
PAIR = {"essay_a_id": "essay-1", "essay_b_id": "essay-2"}


def laid(expression: str = "default", **settings: Any) -> Mode:
    return with_settings(load_mode(expression), MockSettings(**settings))


def answers(of: Mode, count: int = 60) -> list[Any]:
    """Everything that a consumer sees, for one request after another."""

    async def ask() -> list[Any]:
        provider, told = MockProvider(of, seed=42), []
        for number in range(count):
            try:
                told.append(await provider.answer(queued(number, prompt="one two three four five", metadata=PAIR), 0))
            except ProviderError as error:
                told.append(error.failure)
        return told

    return run_virtual(ask())


def only(values: list[Any]) -> Any:
    (value,) = set(values)
    return value


SET = {
    "mock_latency_ms": 250,
    "mock_latency_jitter_ms": 100,
    "mock_error_rate": 0.5,
    "mock_error_burst_rate": 0.3,
    "mock_cache_enabled": None,  # the opposite of what the mode says
    "mock_cache_hit_rate": 0.5,
    "mock_tokenizer": "tiktoken",
    "mock_tokens_per_word": 3.0,
    "mock_outcome_mode": "coin",
    "mock_confidence_base": 2.0,
    "mock_confidence_jitter": 0.01,
    "mock_streaming_metadata": True,
}


@pytest.mark.parametrize("name", sorted(SET))
@pytest.mark.parametrize("expression", mode_names())
def test_every_setting_has_an_effect_in_every_mode(name, expression, monkeypatch):
    monkeypatch.setattr("cj_pipeline.mock.judge.cl100k_counter", lambda: len)
    plain = load_mode(expression)
    value = not plain.cache.enabled if name == "mock_cache_enabled" else SET[name]
    changed = with_settings(plain, MockSettings(**{name: value}))
    assert answers(changed) != answers(plain)
    assert changed.sha256() != plain.sha256()
    assert f"Settings over it: {name}=" in changed.description
    assert changed.name == expression


@pytest.mark.parametrize("expression", mode_names())
def test_settings_about_failures_have_an_effect_where_there_are_failures(expression):
    failing = with_settings(load_mode(expression), MockSettings(mock_error_rate=0.5))
    recoded = with_settings(failing, MockSettings(mock_error_codes=(418,)))
    assert {f.details["status_code"] for f in answers(recoded) if hasattr(f, "details")} == {418}
    bursty = with_settings(load_mode(expression), MockSettings(mock_error_burst_rate=0.3))
    longer = with_settings(bursty, MockSettings(mock_error_burst_length=10))
    assert longer.errors.bursts == Bursts(rate=0.3, length=10.0)
    assert answers(longer) != answers(bursty)
    assert answers(with_settings(bursty, MockSettings(mock_error_burst_length=0))) == answers(load_mode(expression))


def test_no_setting_is_the_mode_itself():
    plain = load_mode(ANCHOR)
    assert with_settings(plain, MockSettings()) is plain
    assert all(value is None for value in MockSettings().model_dump().values())


def test_productions_defaults_are_what_the_mode_default_says_already():
    spelt_out = laid(
        mock_latency_ms=0,
        mock_latency_jitter_ms=0,
        mock_error_rate=0.0,
        mock_error_codes=[429, 503, 500],
        mock_error_burst_rate=0.0,
        mock_error_burst_length=0,
        mock_cache_enabled=True,
        mock_cache_hit_rate=0.0,
        mock_tokenizer="simple",
        mock_tokens_per_word=0.75,
        mock_outcome_mode="heuristic",
        mock_confidence_base=4.5,
        mock_confidence_jitter=0.3,
        mock_streaming_metadata=False,
    )
    plain = load_mode("default")
    assert spelt_out.model_copy(update={"description": plain.description}) == plain


@pytest.mark.parametrize(
    ("settings", "latency"),
    [
        ({"mock_latency_ms": 250}, ConstantLatency(model="constant", ms=250.0)),
        ({"mock_latency_ms": 250, "mock_latency_jitter_ms": 0}, ConstantLatency(model="constant", ms=250.0)),
        ({"mock_latency_jitter_ms": 100}, UniformLatency(model="uniform", low_ms=0.0, high_ms=100.0)),
        (
            {"mock_latency_ms": 250, "mock_latency_jitter_ms": 100},
            UniformLatency(model="uniform", low_ms=250.0, high_ms=350.0),
        ),
        ({"mock_latency_ms": 0}, ConstantLatency(model="constant", ms=0.0)),
    ],
)
def test_latency_is_the_base_and_an_even_share_of_the_jitter(settings, latency):
    assert laid(ANCHOR, **settings).latency == latency


@pytest.mark.parametrize(
    ("outcome", "winners"),
    [("always_a", {Winner.A}), ("always_b", {Winner.B}), ("coin", {Winner.A, Winner.B})],
)
@pytest.mark.parametrize("expression", ["default+inverted", "cj_generic_batch", ANCHOR])
def test_an_outcome_mode_decides_who_wins_whatever_the_mode(expression, outcome, winners):
    assert {answer.winner for answer in answers(laid(expression, mock_outcome_mode=outcome))} == winners


def test_a_heuristic_outcome_is_the_modes_own():
    assert laid(ANCHOR, mock_outcome_mode=OutcomeMode.HEURISTIC).winner == load_mode(ANCHOR).winner


def test_tokens_per_word_counts_without_floors_and_keeps_what_comes_on_top():
    of = laid("production_hash_anchor", mock_tokens_per_word=2.0)
    assert of.tokens.prompt == PromptWords(model="words", per_word=2.0)  # the floor was 1100
    assert only([answer.token_usage.prompt_tokens for answer in answers(of)]) == 10  # 5 words x 2
    for answer in answers(of):
        assert answer.token_usage.completion_tokens == 2 * len(answer.justification.split()) + 10


def test_the_simple_tokenizer_leaves_a_mode_that_counts_words_alone():
    assert laid("production_hash_anchor", mock_tokenizer="simple").tokens == load_mode("production_hash_anchor").tokens
    assert only([a.token_usage.prompt_tokens for a in answers(laid(ANCHOR, mock_tokenizer="simple"))]) == 4


def test_settings_leave_what_they_do_not_name():
    of = with_settings(
        mode(
            ANCHOR,
            errors={"rate": 0.5, "codes": [429], "retry_success": 1.0, "retry_after_s": 2.0},
            cache={"hit_rate": 0.3},
        ),
        MockSettings(mock_confidence_jitter=0.0, mock_error_codes=(500,), mock_cache_enabled=True),
    )
    assert (of.confidence.base, of.confidence.jitter) == (4.5, 0.0)  # type: ignore[union-attr]
    assert (of.errors.rate, of.errors.codes, of.errors.retry_success) == (0.5, (500,), 1.0)
    assert of.errors.retry_after_s is None  # a 500 does not carry it
    assert (of.cache.enabled, of.cache.hit_rate) == (True, 0.3)
    assert of.winner == load_mode(ANCHOR).winner
    assert of.fitted_from == load_mode(ANCHOR).fitted_from


def test_settings_lie_over_a_replay_too(tmp_path):
    lines = [recorded(7, "essay-1", "essay-2")]
    of = with_settings(replaying(tmp_path, lines), MockSettings(mock_latency_ms=5, mock_confidence_base=2.0))
    (answer,) = answers(of, 1)
    assert (answer.response_time_ms, answer.token_usage.prompt_tokens) == (5, 2007)
    assert answer.confidence == pytest.approx(2.0, abs=0.3)


def test_a_mode_under_settings_is_one_that_a_file_could_say():
    of = laid(ANCHOR, **{name: value for name, value in SET.items() if value is not None})
    assert Mode.model_validate(of.model_dump()) == of


@pytest.mark.parametrize("codes", ["[429, 503]", "429,503", " 429 , 503", [429, 503], (429, 503)])
def test_codes_may_be_a_json_list_or_numbers_with_commas(codes):
    assert MockSettings(mock_error_codes=codes).mock_error_codes == (429, 503)


class Environment(BaseSettings, MockSettings):
    model_config = SettingsConfigDict(env_prefix="X_", frozen=True, extra="ignore")


@pytest.mark.parametrize("codes", ["429,503", "[429,503]"])
def test_codes_may_come_from_the_environment_in_either_spelling(codes, monkeypatch):
    # The documented `429,503` kept production's service from starting.
    monkeypatch.setenv("X_MOCK_ERROR_CODES", codes)
    monkeypatch.setenv("X_MOCK_LATENCY_MS", "12.5")
    monkeypatch.setenv("X_MOCK_STREAMING_METADATA", "true")
    read = Environment()
    assert (read.mock_error_codes, read.mock_latency_ms, read.mock_streaming_metadata) == ((429, 503), 12.5, True)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("mock_latency_ms", {"mock_latency_ms": -1}),
        ("mock_latency_ms", {"mock_latency_ms": float("inf")}),
        ("mock_latency_jitter_ms", {"mock_latency_jitter_ms": -1}),
        ("mock_error_rate", {"mock_error_rate": 1.01}),
        ("mock_error_codes", {"mock_error_codes": "[429, oops]"}),
        ("mock_error_codes", {"mock_error_codes": "429;503"}),
        ("mock_error_codes", {"mock_error_codes": []}),
        ("mock_error_codes", {"mock_error_codes": "200"}),
        ("mock_error_codes", {"mock_error_codes": ""}),
        ("mock_error_burst_rate", {"mock_error_burst_rate": -0.1}),
        ("mock_error_burst_length", {"mock_error_burst_length": 0.5}),
        ("mock_error_burst_length", {"mock_error_burst_rate": 0.1, "mock_error_burst_length": 0}),
        ("mock_cache_hit_rate", {"mock_cache_hit_rate": 2}),
        ("mock_cache_hit_rate", {"mock_cache_enabled": False, "mock_cache_hit_rate": 0.5}),
        ("mock_tokenizer", {"mock_tokenizer": "bpe"}),
        ("mock_tokens_per_word", {"mock_tokens_per_word": 0}),
        ("mock_outcome_mode", {"mock_outcome_mode": "essay_a"}),
        ("mock_confidence_base", {"mock_confidence_base": 0.9}),
        ("mock_confidence_base", {"mock_confidence_base": 5.1}),
        ("mock_confidence_jitter", {"mock_confidence_jitter": -0.1}),
        ("mock_latncy_ms", {"mock_latncy_ms": 5}),
    ],
)
def test_a_value_that_cannot_be_used_is_named_by_its_field(field, settings):
    with pytest.raises(ValidationError) as raised:
        MockSettings(**settings)
    assert raised.value.errors()[0]["loc"][0] == field


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("mock_error_burst_rate", {"mock_error_burst_rate": 0.6}),
        ("mock_error_burst_rate", {"mock_error_burst_rate": 0.9, "mock_error_burst_length": 5}),
    ],
)
def test_bursts_that_cannot_be_are_named_by_their_setting(field, settings):
    with pytest.raises(BadInput, match="make them longer") as raised:
        laid(**settings)
    assert raised.value.field == field


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        MockSettings().mock_latency_ms = 5.0  # type: ignore[misc]
