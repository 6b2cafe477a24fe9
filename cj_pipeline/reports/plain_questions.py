"""This module says in plain words what each statistical gate asks. The gate itself says what it measures."""

from __future__ import annotations

from collections.abc import Mapping

QUESTIONS: Mapping[str, str] = {
    "answer_agreement": "Does the live side give the recorded answers to the same prompts?",
    "agreement_drift": "Does it keep to them at the end of a batch as well as at the beginning?",
    "winner_share": "Does the essay that is shown first win as often?",
    "rank_agreement": "Do both sides put the essays in the same order?",
    "anchor_tau": "Does the live order fit the known grades as well as the recorded one?",
    "inversions": "Does the essay of the worse grade win as often?",
    "zero_win": "Are there as many essays that never win?",
    "position_effect": "Does the judge favour the first place as much?",
    "sharpness": "Is the live side as sure of the differences between essays?",
    "essay_shift": "Does every essay do about as well as it did?",
    "repeatability": "Asked the same again, does it give the same answer as often as the judge?",
    "confidence": "Is it as confident on average?",
    "confidence_spread": "Does its confidence vary as much?",
    "confidence_link": "Is it more confident where the essays are further apart, as the judge is?",
    "latency_mean": "Do answers take as long on average?",
    "latency_p95": "Are the slow answers as slow?",
    "latency_p99": "Are the slowest answers as slow?",
    "latency_shape": "Do fast, usual and slow answers come in the same proportions?",
    "latency_drift": "Does a batch slow down, or speed up, as the recorded one does?",
    "latency_link": "Do longer answers take longer, as the judge's do?",
    "tokens_prompt": "Are prompts as long?",
    "tokens_per_essay": "Is each prompt as long as it was recorded?",
    "tokens_completion": "Are answers as long?",
    "tokens_total": "Is the bill the same?",
    "tokens_spread": "Do answers vary as much in length?",
    "bt_se": "Is the engine as sure of its scores?",
    "error_rate": "Do as many calls fail?",
    "error_mix": "Do calls fail for the same reasons?",
    "error_bursts": "Do failures come one after the other as often?",
    "retry_success": "Does asking again help as often?",
}
