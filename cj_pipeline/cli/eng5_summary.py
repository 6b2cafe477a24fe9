"""This module prints what came of a run of the ENG5 runner: comparisons, money, batching, overrides, events, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cj_pipeline.cli.output import print_json, print_table, say, say_wrapped

if TYPE_CHECKING:
    from cj_pipeline.eng5.runner import RunOutcome

MOCKED = "No money was spent: a mock answered. Its dollars are figures of its mode."


def show_outcome(outcome: RunOutcome, *, deployed: bool, as_json: bool) -> None:
    """Print the summary of a run."""
    from cj_pipeline.eng5.artefact.files import read_document
    from cj_pipeline.eng5.batching import (
        batching_block,
        batching_problem,
        batching_words,
        overrides_of,
        overrides_words,
    )
    from cj_pipeline.eng5.diagnostics.queries import queries

    document = read_document(outcome.artefact)
    options = outcome.facts.options
    status = document["validation"].get("runner_status")
    inputs, costs, metadata = document["inputs"], document["costs"], document["metadata"]
    batching = metadata.get("batching") or batching_block(options.batching_mode, ())
    overrides, problem = overrides_of(outcome.facts), batching_problem(batching)
    mocked = None if deployed or status is None else metadata.get("judge", {}).get("kind") == "mock"
    asked_of_prometheus = queries(options.batching_mode) if deployed else ()
    if as_json:
        print_json(
            {
                "mode": metadata["runner_mode"],
                "artefact": str(outcome.artefact),
                "batch_uuid": metadata["batch_uuid"],
                "anchors": len(inputs["anchors"]),
                "students": len(inputs["students"]),
                "comparisons": len(document["llm_comparisons"]),
                "costs": costs,
                "mocked": mocked,
                "batching": {**batching, "problem": problem},
                "overrides": overrides,
                "runner_status": status,
                "reports": [str(path) for path in outcome.reports],
                "prometheus": list(asked_of_prometheus),
            }
        )
        return
    say(f"{metadata['runner_mode']}: {len(inputs['anchors'])} anchors, {len(inputs['students'])} students")
    if status is None:
        _show_inputs(inputs)
    else:
        _show_status(document, status, mocked=bool(mocked))
    say_wrapped(batching_words(batching))
    if problem is not None:
        say_wrapped(f"warning: {problem} docs/runbook.md says what to look at.")
    say_wrapped(overrides_words(overrides))
    for path in outcome.reports:
        say(f"report: {path}")
    say(f"artefact: {outcome.artefact}")
    say_wrapped(f"Check it again with: cj-pipeline eng5 verify {outcome.artefact}")
    if deployed:
        say(f"batch: {metadata['batch_uuid']}")
        say("Prometheus tells how the batch was worked off:")
        for query in asked_of_prometheus:
            say(f"    {query}")


def _show_inputs(inputs: dict[str, Any]) -> None:
    listed = [(one["anchor_id"], one["grade"] or "unknown", one["file_name"]) for one in inputs["anchors"]]
    listed += [(one["essay_id"], "", one["file_name"]) for one in inputs["students"]]
    print_table("Inputs", ("id", "grade", "file"), listed)


def _show_status(document: dict[str, Any], status: dict[str, Any], *, mocked: bool) -> None:
    rows = [
        (
            f"{row['provider']}::{row['model']}",
            row["comparisons"],
            row["prompt_tokens"],
            row["completion_tokens"],
            f"{row['usd']:.4f}" + (f" + {row['unknown_cost']} unknown" if row["unknown_cost"] else ""),
        )
        for row in document["costs"]["token_counts"]
    ]
    dollars = "USD, not spent" if mocked else "USD"
    print_table("Costs", ("judge", "comparisons", "prompt tokens", "completion tokens", dollars), rows)
    if mocked:
        say_wrapped(MOCKED)
    failed = sum(one["status"] == "failed" for one in document["llm_comparisons"])
    wanted = "" if status["wanted_comparisons"] is None else f" of at most {status['wanted_comparisons']}"
    again = f", {status['asked_again']} asked again" if status["asked_again"] else ""
    say(f"{len(document['llm_comparisons'])}{wanted} comparisons came back, {failed} failed{again}.")
    observed = status["observed_events"]
    say(", ".join(f"{name}: {count}" for name, count in observed.items()))
    if status["partial_data"]:
        say_wrapped(
            f"warning: partial data, because {status['partial_because']}. The artefact says so, and the same command "
            "goes on."
        )
