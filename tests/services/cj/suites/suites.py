"""Which case is held to which rules.

Here: the suites. Not here: the rules themselves (rules.py), where they are run (the tests).
"""

from __future__ import annotations

from tests.services.cj.suites import rules
from tests.services.cj.suites.rules import Rule

EVERY_BATCH: tuple[Rule, ...] = (
    rules.the_mock_plays_the_profile,
    rules.it_is_completed,
    rules.counters_agree,
    rules.the_denominator_is_the_budget,
    rules.every_callback_is_on_the_topic_once,
    rules.callbacks_say_what_is_kept,
    rules.scores_are_those_of_the_answers,
    rules.bundle_sizes_are_those_of_the_waves,
    rules.no_callback_is_newer_than_the_end,
    rules.pairs_are_counted,
    rules.passes_are_counted,
    rules.standard_errors_are_told,
    rules.quality_flags_follow_the_summary,
    rules.the_lps_kept_its_guardrails,
    rules.the_lps_counts_the_engines_model,
    rules.the_cj_service_counts_its_batch,
    rules.the_result_is_published_once,
)

CALLBACKS: tuple[Rule, ...] = (*EVERY_BATCH, rules.the_net_is_regular)

RESAMPLING: tuple[Rule, ...] = (
    *CALLBACKS,
    rules.the_whole_budget_is_used,
    rules.skew_is_at_most(0.2),
    rules.pairs_seen_again_are_turned,
    rules.half_of_the_essays_stand_in_both_places,
)

TWICE: tuple[Rule, ...] = (
    *CALLBACKS,
    rules.the_whole_budget_is_used,
    rules.skew_is_at_most(0.0),
    rules.every_pair_was_seen_once_in_each_order,
)

SMALL_NET: tuple[Rule, ...] = (
    *EVERY_BATCH,
    rules.it_is_a_small_net_through_its_passes,
    rules.ten_pairs_are_covered,
    rules.forty_comparisons_were_made,
    rules.every_comparison_succeeded,
    rules.skew_is_at_most(0.1),
    rules.every_essay_stood_eight_times_in_each_place,
    rules.pairs_seen_again_are_turned,
    rules.half_of_the_essays_stand_in_both_places,
)

PROVIDER_BATCH: tuple[Rule, ...] = (
    *CALLBACKS,
    rules.there_is_one_wave,
    rules.the_mode_is_kept,
    rules.the_request_keeps_its_override,
    rules.skew_is_at_most(0.2),
    rules.jobs_waited_and_came_to_their_end,
)
