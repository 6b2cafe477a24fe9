"""This module declares the asset `trace` and its checks: is the file unchanged, and is the capture complete?

The check `checksums` blocks everything that would read an edited trace. `complete` only warns, because the callbacks of
a partial trace are as true as those of a whole one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    PartitionsDefinition,
    asset_check,
    multi_asset,
)

from assets.specs import TRACE, Group, about, asset_spec, table
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.origin import missing_parts
from cj_pipeline.traces.completeness import completeness_in_words
from cj_pipeline.traces.provenance import Provenance, file_sha256, joint_sha256, read_provenance, verify_checksums
from cj_pipeline.traces.scenario import SCENARIO_FILE
from cj_pipeline.traces.store import CALLBACKS_FILE, recording_folders
from resources.trace_store import TraceStoreResource

COMPLETE = "complete"


def trace_spec(scenarios: PartitionsDefinition[str]) -> AssetSpec:
    """Return the spec of `trace`."""
    return asset_spec(
        TRACE,
        "The recorded callbacks and the scenario.yaml of one scenario, as its folder holds them. Nothing is written: "
        "the files are observed, and their SHA-256 is the data version.",
        computed_by="traces",
        reads=[],
        group=Group.RECORDED,
        kinds=["file"],
        partitions=scenarios,
    )


def callback_digests(folder: Path) -> dict[str, str]:
    """Return the digest of the callbacks of each recording, by its name."""
    return {name: file_sha256(place / CALLBACKS_FILE) for name, place in recording_folders(folder).items()}


def trace_version(folder: Path) -> str:
    """Return the data version of a trace: of the callbacks of all recordings, and of scenario.yaml beside them."""
    return joint_sha256({**callback_digests(folder), SCENARIO_FILE: file_sha256(folder / SCENARIO_FILE)})


def trace_asset(scenarios: PartitionsDefinition[str]) -> AssetsDefinition:
    """Declare `trace`."""

    @multi_asset(name="trace", specs=[trace_spec(scenarios)])
    def trace(context: AssetExecutionContext, trace_store: TraceStoreResource) -> MaterializeResult[None]:
        scenario = trace_store.scenario(context.partition_key)
        folder = trace_store.folder(context.partition_key)
        digests = callback_digests(folder)
        return MaterializeResult(
            data_version=DataVersion(trace_version(folder)),
            metadata={
                "scenario": scenario.title,
                "profile": scenario.profile.value,
                "recordings": table({"name": name, "sha256": digest} for name, digest in digests.items()),
                **recording_metadata(folder, read_provenance(folder)),
            },
        )

    return trace


def recording_metadata(folder: Path, provenance: Provenance) -> Mapping[str, Any]:
    """Return where a recording comes from, as Dagster shows it: counts and offsets, no text of a callback."""
    origins = ({"field": name, **field.model_dump(mode="json")} for name, field in provenance.fields.items())
    shown: dict[str, Any] = {
        "origin": provenance.origin.value,
        "statement": MetadataValue.md(provenance.statement),
        "fields": table(origins),
        "path": MetadataValue.path(folder / CALLBACKS_FILE),
    }
    if provenance.redaction is not None:
        shown["redaction"] = provenance.redaction.model_dump(mode="json")
    if (imported := provenance.imported) is not None:
        shown |= {
            "partial": imported.partial,
            "missing": _listed(imported.missing),
            "source": imported.source,
            **{f"messages_{name}": number for name, number in imported.counts.items()},
        }
    if (recorded := provenance.recorded) is not None:
        shown |= {
            "judge": recorded.judge.model_dump(mode="json", exclude_none=True),
            "prompt": recorded.prompt.model_dump(mode="json", exclude_none=True),
            "design": recorded.design.model_dump(mode="json"),
            "asked_again": recorded.asked_again,
            **({} if recorded.provider_calls is None else {"provider_calls": recorded.provider_calls}),
            **({} if recorded.spent_usd is None else {"spent_usd": recorded.spent_usd}),
        }
    if (capture := provenance.capture) is not None:
        shown |= {
            "partial": capture.partial,
            "missing": _listed(capture.missing),
            "topic": capture.topic,
            "cluster_id": capture.cluster_id,
            "offsets": table(
                {
                    "partition": share.partition,
                    "first": share.first_offset,
                    "end": share.end_offset,
                    "read_to": share.next_offset,
                    "last_taken": "" if share.last_taken is None else str(share.last_taken),
                }
                for share in capture.partitions
            ),
            "ended_by": capture.ending,
            "messages_read": capture.read,
            # Numbers of their own as well: those are what Dagster plots.
            **{f"messages_{name}": number for name, number in capture.counts.items()},
        }
    return shown


def _listed(sentences: tuple[str, ...]) -> MetadataValue:
    return MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences) or "nothing")


def checksums_check(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """Declare the check `trace: checksums`."""

    @asset_check(asset=TRACE, partitions_def=scenarios, blocking=True)
    def checksums(context: AssetCheckExecutionContext, trace_store: TraceStoreResource) -> AssetCheckResult:
        """Are the recorded files, byte for byte, those that SHA256SUMS names?"""
        name = context.partition_key
        try:
            verified = verify_checksums(trace_store.folder(name))
        except BadInput as problem:
            return AssetCheckResult(
                passed=False, severity=AssetCheckSeverity.ERROR, description=about(name, str(problem))
            )
        unchanged = about(name, f"{len(verified)} files are as they were recorded.")
        return AssetCheckResult(passed=True, description=unchanged, metadata={"files": len(verified)})

    return checksums


def complete_check(scenarios: PartitionsDefinition[str]) -> AssetChecksDefinition:
    """Declare the check `trace: complete`."""

    @asset_check(asset=TRACE, name=COMPLETE, partitions_def=scenarios, blocking=False)
    def complete(context: AssetCheckExecutionContext, trace_store: TraceStoreResource) -> AssetCheckResult:
        """Is everything in the recording that its capture was asked for?"""
        name = context.partition_key
        try:
            places = recording_folders(trace_store.folder(name)).values()
            return completeness(name, *(read_provenance(place) for place in places))
        except BadInput as problem:
            description = about(name, str(problem))
            return AssetCheckResult(passed=False, severity=AssetCheckSeverity.WARN, description=description)

    return complete


def completeness(scenario_id: str, *provenances: Provenance) -> AssetCheckResult:
    """Return the result of `complete` for the recordings of a scenario, with what each was held against.

    A reconstruction was not asked for anything and passes.
    """
    lines = [f"Recording {number}: {_complete(one)}" for number, one in enumerate(provenances, start=1)]
    held = [section.held_against or "nothing" for one in provenances for section in one.sections]
    return AssetCheckResult(
        passed=not missing_parts(provenances),
        severity=AssetCheckSeverity.WARN,
        description=about(scenario_id, _complete(provenances[0]) if len(provenances) == 1 else " ".join(lines)),
        metadata={"held_against": ", ".join(held) or "nothing"},
    )


def _complete(provenance: Provenance) -> str:
    if not provenance.sections:
        return "Reconstructed from published figures: nothing was asked for, and nothing is missing."
    return completeness_in_words(missing_parts([provenance]), provenance.sections[0].held_against)
