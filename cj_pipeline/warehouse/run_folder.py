"""This module keeps what one run made of one scenario: `runs/<run_id>/<scenario>/<dataset>/<part>.parquet`.

A run writes into its own folder and reads from it alone, so two runs at once never meet. There are no locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.data_path import DataPath, matching
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.warehouse.data_root import for_each
from cj_pipeline.warehouse.files import is_there
from cj_pipeline.warehouse.origin import Origin, Stamp, code_version
from cj_pipeline.warehouse.parquet import write_parquet
from cj_pipeline.warehouse.parts import REMEDY, PartFile, metadata, part_file
from cj_pipeline.warehouse.pointers import is_published
from cj_pipeline.warehouse.rows import Row, table_of
from cj_pipeline.warehouse.schemas import NEW, OPTIONAL, PARTS, SCHEMAS

RUNS_FOLDER = "runs"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The datasets of one run of one scenario. root: the data folder."""

    root: DataPath
    run_id: str
    scenario_id: str

    @property
    def folder(self) -> DataPath:
        """Return the folder of the run's parts, whether or not it exists."""
        return self.root / RUNS_FOLDER / self.run_id / self.scenario_id

    def path(self, dataset: str, part: str) -> DataPath:
        """Return the file of one part of a dataset, whether or not it exists."""
        return self.folder / dataset / f"{part}.parquet"

    def has(self, dataset: str, part: str) -> bool:
        """Return whether this run made that part."""
        return is_there(self.path(dataset, part))

    def parts(self) -> list[tuple[str, str]]:
        """Return (dataset, part) of every part that this run made, and of those that a whole run has."""
        every = [(dataset, part) for dataset, parts in PARTS.items() for part in parts]
        extra = OPTIONAL | NEW
        made = set(self.made(one for one in every if one[0] in extra))
        return [one for one in every if one[0] not in extra or one in made]

    def made(self, parts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those of some (dataset, part) that this run made."""
        asked = list(parts)
        found = for_each(self.root, lambda one: self.has(*one), asked)
        return [one for one, there in zip(asked, found, strict=True) if there]

    def write(self, dataset: str, part: str, rows: Sequence[Row], origin: Origin) -> DataPath:
        """Write one part of a dataset (no rows is a valid part). origin: what the rows are made of.

        Raises BadInput naming the column when a row does not fit the declared schema, and when the run is published
        already: what people look at never changes under them.
        """
        path = self.path(dataset, part)
        if is_published(self.root, self.scenario_id, self.run_id):
            raise BadInput(
                f"run {self.run_id} of '{self.scenario_id}' is published, and is not written again.",
                path=path,
                remedy=REMEDY,
            )
        table = table_of(_schema(self.root, dataset), rows, path, {"run_id": self.run_id})
        stamp = Stamp(
            run_id=self.run_id,
            scenario_id=self.scenario_id,
            written_at=utc_now(),
            code=code_version(),
            origin=origin,
        )
        return write_parquet(path, table.replace_schema_metadata(metadata(stamp.model_dump_json())))

    def read(self, dataset: str, part: str) -> list[dict[str, Any]]:
        """Return the rows of one part, in the order in which they were written. Raises as read_columns does."""
        rows: list[dict[str, Any]] = self.read_columns(dataset, part).to_pylist()
        return rows

    def read_columns(self, dataset: str, part: str, columns: list[str] | None = None) -> pa.Table:
        """Return one part as a table, all its columns by default. Raises BadInput as `stamp` does."""
        return self.file(dataset, part)[0].read(columns)

    def stamp(self, dataset: str, part: str) -> Stamp:
        """Return what one part says about itself.

        Raises BadInput when this run did not make the part, naming a run that did, and when the file that is here is
        another run's.
        """
        return self.file(dataset, part)[1]

    def file(self, dataset: str, part: str) -> tuple[PartFile, Stamp]:
        """Return the file of one part, and what it says about itself. Raises BadInput as `stamp` does."""
        _schema(self.root, dataset)
        path = self.path(dataset, part)
        try:
            found = part_file(path, dataset)
            stamp = Stamp.model_validate_json(found.stamp)
        except FileNotFoundError:
            raise BadInput(self._missing(dataset, part), path=path, remedy=REMEDY) from None
        except BadInput:
            raise
        except ValueError:
            raise BadInput("does not say which run made it.", path=path, remedy=REMEDY) from None
        if (stamp.run_id, stamp.scenario_id) != (self.run_id, self.scenario_id):
            raise BadInput(
                f"run {stamp.run_id} made this {dataset} ({part}) of '{stamp.scenario_id}', and it is read as one of "
                f"run {self.run_id} of '{self.scenario_id}'. One verdict is about one run.",
                path=path,
                remedy=REMEDY,
            )
        return found, stamp

    def origin(self, *parts: tuple[str, str]) -> Origin:
        """Return what some parts are made of, together. parts: (dataset, part).

        Raises BadInput when two of them are made of different answers of one side, and as `stamp` does.
        """
        found = Origin(answers={})
        named: dict[str, tuple[str, str]] = {}
        stamps = for_each(self.root, lambda one: self.stamp(*one), parts)
        for (dataset, part), stamp in zip(parts, stamps, strict=True):
            origin = stamp.origin
            for side, answers in origin.answers.items():
                if (earlier := found.answers.get(side, answers)) != answers:
                    other = " ".join(named[side])
                    raise BadInput(
                        f"{dataset} {part} is made of other answers ({answers.in_words()}) than {other} "
                        f"({earlier.in_words()}), both in run {self.run_id}.",
                        path=self.path(dataset, part),
                        remedy=REMEDY,
                    )
                named.setdefault(side, (dataset, part))
            found = found.joined(origin)
        return found

    def _missing(self, dataset: str, part: str) -> str:
        sentence = f"run {self.run_id} made no {dataset} ({part}) of '{self.scenario_id}'"
        others = matching(self.root / RUNS_FOLDER, f"*/{self.scenario_id}/{dataset}/{part}.parquet")
        if not others:
            return f"{sentence}, and no other run did."
        newest = max(others, key=lambda path: path.stat().st_mtime)
        made = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
        return (
            f"{sentence}; run {newest.parents[2].name} made one at {made:%Y-%m-%d %H:%M:%S} UTC, but one verdict is "
            "about one run."
        )


def _schema(root: DataPath, dataset: str) -> pa.Schema:
    if dataset not in SCHEMAS:
        raise BadInput(f"no dataset is called '{dataset}'.", path=root, remedy=did_you_mean(dataset, SCHEMAS))
    return SCHEMAS[dataset]
