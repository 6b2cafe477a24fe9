"""This module reads trace folders, verified byte by byte."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.traces.essay_ids import ESSAY_KEYS
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance, read_provenance, verify_checksums
from cj_pipeline.traces.reader import CallbackFile, read_callbacks
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario, read_scenario

CALLBACKS_FILE = "llm_callbacks.jsonl"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True, slots=True)
class Trace:
    """One verified trace folder."""

    folder: Path
    scenario: Scenario
    provenance: Provenance
    callbacks: CallbackFile
    sha256: str
    """Of `llm_callbacks.jsonl`; the data version of everything derived from it."""


class TraceStore:
    """The folders below one root, each a scenario."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def scenario_ids(self) -> tuple[str, ...]:
        """Names of the folders that hold a scenario.yaml, sorted; empty when the root does not exist.

        A folder whose name begins with a dot is somebody's work in progress.
        """
        found = (path.parent.name for path in self.root.glob(f"*/{SCENARIO_FILE}"))
        return tuple(sorted(name for name in found if not name.startswith(".")))

    def scenario(self, scenario_id: str) -> Scenario:
        """One scenario, without touching its callbacks."""
        return read_scenario(self._folder(scenario_id) / SCENARIO_FILE)

    def trace(self, scenario_id: str) -> Trace:
        """One trace, verified byte by byte. Raises BadInput when anything in it was edited or is missing."""
        return read_trace(self._folder(scenario_id))

    def _folder(self, scenario_id: str) -> Path:
        folder = self.root / scenario_id
        if not folder.is_dir():
            raise BadInput(
                f"no scenario '{scenario_id}'.",
                path=self.root,
                remedy=did_you_mean(scenario_id, self.scenario_ids()) or "The folder holds no scenario at all.",
            )
        return folder


def read_trace(folder: Path) -> Trace:
    """One trace folder, wherever it stands; see TraceStore.trace."""
    scenario = read_scenario(folder / SCENARIO_FILE)
    digests = verify_checksums(folder)
    if CALLBACKS_FILE not in digests:
        raise BadInput("is not covered by SHA256SUMS.", path=folder / CALLBACKS_FILE)
    callbacks = read_callbacks(folder / CALLBACKS_FILE)
    _require_known_essays(callbacks, scenario)
    provenance = read_provenance(folder)
    if provenance.scenario_id != scenario.scenario_id:
        raise BadInput(
            f"is '{provenance.scenario_id}', but this is '{scenario.scenario_id}'.",
            path=folder / PROVENANCE_FILE,
            field="scenario_id",
            remedy="A copied provenance says where another recording comes from; write this one's.",
        )
    return Trace(
        folder=folder,
        scenario=scenario,
        provenance=provenance,
        callbacks=callbacks,
        sha256=digests[CALLBACKS_FILE],
    )


def _require_known_essays(callbacks: CallbackFile, scenario: Scenario) -> None:
    """A trace about other essays than its scenario's is a mistake in the scenario, not in a line."""
    known = {item.id for item in scenario.net.items}
    for recorded in callbacks.events:
        for key, essay in zip(ESSAY_KEYS, recorded.event.data.essay_ids(), strict=True):
            if essay not in known:
                raise BadInput(
                    f"'{essay}' is not in the scenario's net.",
                    path=callbacks.path,
                    line=recorded.line,
                    field=f"data.request_metadata.{key}",
                    remedy=f"Add it to net.items in {SCENARIO_FILE}.",
                )
