"""Where a service runs decides what it may do without: a word that nobody knows counts as production."""

from __future__ import annotations

import pytest

from cj_pipeline.foundation.environment import counts_as_production, environment_name, is_development
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import LpsSettings


@pytest.mark.parametrize("word", ["production", "prod", " PRODUCTION ", "live", "prd", "prod-eu", "?", ""])
def test_what_is_or_may_be_production_is_held_to_it(word: str) -> None:
    assert counts_as_production(word)
    assert not is_development(word)
    assert LpsSettings(environment=word).in_production
    settings = CjSettings(environment=word, database_url="sqlite://", host="127.0.0.1")
    assert (settings.in_production, settings.on_a_desk, settings.admin_endpoints) == (True, False, False)


@pytest.mark.parametrize("word", ["development", "dev", "local", "test", "testing", "Development "])
def test_a_desk_is_known_by_its_words(word: str) -> None:
    assert is_development(word)
    assert not counts_as_production(word)
    assert CjSettings(environment=word, database_url="sqlite://", host="127.0.0.1").on_a_desk
    assert not CjSettings(environment=word, database_url="sqlite://", host="192.0.2.1").on_a_desk


@pytest.mark.parametrize("word", ["staging", "ci"])
def test_what_lies_between_is_neither(word: str) -> None:
    assert not counts_as_production(word)
    assert not is_development(word)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "development"),
        ({"ENVIRONMENT": "", "ENV_TYPE": " "}, "development"),
        ({"ENVIRONMENT": "", "ENV_TYPE": "production"}, "production"),
        ({"ENVIRONMENT": "development", "ENV_TYPE": "prod"}, "prod"),
        ({"ENVIRONMENT": "development", "X_ENVIRONMENT": "Production"}, "Production"),
        ({"ENVIRONMENT": "ci", "X_ENVIRONMENT": "elsewhere"}, "ci"),
        ({"X_ENVIRONMENT": "staging"}, "staging"),
        ({"ENVIRONMENT": "live"}, "live"),
    ],
)
def test_the_word_is_productions_where_any_variable_says_so(variables: dict[str, str], name: str) -> None:
    assert environment_name(variables, "X_") == name
