"""Reading traces: folders of recorded callbacks, line by line, with every bad line kept and named.

Here: `TraceStore` (the folders) and `read_callbacks` (one JSONL file). Not here: what a trace says (summary.py),
writing one (reconstruct/).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.traces.essay_ids import ESSAY_KEYS, essay_rejection
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance, read_provenance, verify_checksums
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario, read_scenario

CALLBACKS_FILE = "llm_callbacks.jsonl"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One callback with the bytes it was read from."""

    line: int
    raw: bytes
    event: CallbackEvent


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """One line that is not a usable callback, kept whole."""

    line: int
    raw: bytes
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallbackFile:
    """Everything one JSONL file holds: each non-empty line is either an event or in quarantine, in file order."""

    path: Path
    events: tuple[RecordedEvent, ...]
    quarantined: tuple[QuarantinedLine, ...]


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


def read_callbacks(path: Path) -> CallbackFile:
    """Read a JSONL file of callbacks.

    A line that does not parse, is of another schema, breaks a rule of the callback, does not name two essays, or
    repeats a request id goes to quarantine with the reason. Raises BadInput when the file is missing or holds no line.
    """
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput("no such file.", path=path, remedy="Capture or reconstruct the trace first.") from None
    events: list[RecordedEvent] = []
    quarantined: list[QuarantinedLine] = []
    first_seen: dict[str, int] = {}
    for number, raw in enumerate(content.split(b"\n"), start=1):
        if not raw.strip():
            continue
        parsed = _usable(parse_callback(raw), first_seen)
        if isinstance(parsed, Rejection):
            quarantined.append(QuarantinedLine(line=number, raw=raw, field=parsed.field, reason=parsed.reason))
        else:
            first_seen[parsed.data.request_id] = number
            events.append(RecordedEvent(line=number, raw=raw, event=parsed))
    if not events and not quarantined:
        raise BadInput("is empty.", path=path, remedy="A trace holds one callback per line.")
    return CallbackFile(path=path, events=tuple(events), quarantined=tuple(quarantined))


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


def _usable(parsed: CallbackEvent | Rejection, first_seen: dict[str, int]) -> CallbackEvent | Rejection:
    """The event, or why a replay could not use it although it is well formed."""
    if isinstance(parsed, Rejection):
        return parsed
    rejection = essay_rejection(parsed.data.request_metadata)
    if rejection is not None:
        return rejection
    earlier = first_seen.get(parsed.data.request_id)
    if earlier is not None:
        return Rejection(field="data.request_id", reason=f"already seen on line {earlier}")
    return parsed
