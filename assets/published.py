"""This module compares the two sides of a scenario's published run again, under its scenario.yaml as it is now."""

from __future__ import annotations

from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.tables import compare_stored
from resources.cj_engine import CjEngineResource
from resources.trace_store import TraceStoreResource
from resources.warehouse import WarehouseResource


def published_report(
    scenario_id: str, trace_store: TraceStoreResource, engine: CjEngineResource, warehouse: WarehouseResource
) -> ParityReport:
    """Return the comparison of what is published. Raises BadInput where nothing is, and as `compare_stored` does."""
    scenario = engine.configured(trace_store.scenario(scenario_id))
    file = trace_store.scenario_file(scenario_id)
    return compare_stored(
        warehouse.open().published_run(scenario_id),
        scenario,
        scenario_file=file,
        provenances=[recording.provenance for recording in trace_store.recordings(scenario_id)],
    )
