"""This module holds the run configuration of experiments, and translates it into a grid."""

from pathlib import Path

from dagster import Config
from pydantic import Field

from assets.eng5_config import BatchingChoice, EffortChoice, JudgeChoice, ProviderChoice, VerbosityChoice
from cj_pipeline.eng5.experiments.grid import AXES, GridSource, grid_of_options, read_grid
from cj_pipeline.eng5.options import JudgeKind

WHERE = "run configuration"

EXAMPLE = {"name": "effort_and_prompt", "judge": "mock", "effort": ["none", "low"], "prompt": ["003", "006"]}
"""What the launchpad begins with: the one of docs/experiments.md, on the mock, which costs nothing."""


class ExperimentConfig(Config):
    """One experiment: a file of its grid, or the same keys here. Lists of values are axes. No key belongs here."""

    grid_file: str | None = Field(default=None, description="YAML file of a grid; then nothing else is to be given.")
    name: str = Field(default="experiment", description="Of the experiment and its folder.")
    about: str = Field(default="", description="For its reader.")
    judge: JudgeChoice = Field(default=JudgeChoice(JudgeKind.MOCK.value), description="mock or provider.")
    provider: list[ProviderChoice] = Field(default=[], description="Whose API is asked.")
    model: list[str] = Field(default=[], description="As the provider calls them.")
    temperature: list[float] = Field(default=[], description="0 to 2.")
    max_tokens: list[int] = Field(default=[], description="That an answer may have.")
    effort: list[EffortChoice] = Field(default=[], description="none, low, medium, high.")
    verbosity: list[VerbosityChoice] = Field(default=[], description="low, medium, high.")
    prompt: list[str] = Field(default=[], description="Numbers (003, 007+006), variants, or files.")
    batching: list[BatchingChoice] = Field(default=[], description="per_request, serial_bundle, provider_batch_api.")
    mock_mode: list[str] = Field(default=[], description="Of judge: mock.")
    repeat: list[int] = Field(default=[], description="Numbers: the same, asked again.")
    base: dict[str, str] = Field(default={}, description="Choices of the cell that others are held against.")
    net: str | None = Field(default=None, description="Folder with anchors/; empty: the twelve of this project.")
    comparisons: int | None = Field(default=None, description="Of each cell; empty: every pair once.")
    both_orders: bool = Field(default=False, description="Every pair once more, the other essay first.")
    seed: int = Field(default=42, description="Of pairs, sides and the mock.")
    concurrency: int = Field(default=1, description="Calls at the same time, in each cell.")
    base_url: str | None = Field(default=None, description="Of judge: provider.")
    max_usd: float | None = Field(default=None, description="For all cells together; judge: provider needs it.")
    usd_per_million_in: float | None = Field(default=None, description="Of models whose price nobody knows.")
    usd_per_million_out: float | None = Field(default=None, description="The same.")

    def source(self) -> GridSource:
        """Return the grid. Raises BadInput naming the field, or file, line and key."""
        if self.grid_file is not None:
            source = read_grid(Path(self.grid_file))
        else:
            common = ("name", "about", "judge", "net", "comparisons", "both_orders", "seed", "concurrency", "base_url")
            price = (self.usd_per_million_in, self.usd_per_million_out)
            given = {
                **{field: getattr(self, field) for field in common},
                "axes": {axis: values for axis in AXES if (values := getattr(self, axis))},
                "base": self.base,
                "max_usd": self.max_usd,
                "price_per_million": None if None in price else price,
            }
            source = grid_of_options(WHERE, given, dashes=False)
        if source.grid.judge is JudgeKind.LOCAL:
            raise source.problem(("judge",), "is started by the terminal only.", "Ask a server: base_url.")
        if source.grid.judge is JudgeKind.PROVIDER and source.grid.max_usd is None:
            # Nobody sits at a job to be asked.
            raise source.problem(("max_usd",), "is missing, and a call may cost money.", "Say how much may be spent.")
        return source


class TableConfig(Config):
    """Which experiment is shown."""

    name: str = Field(default="", description="Of its folder; empty: the one that was planned last.")
