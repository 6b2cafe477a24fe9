"""This module holds what the run configurations of a capture and of a recording have in common."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from dagster import Config
from pydantic import Field

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.traces.redaction.key import default_key_file, key_from
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import Justifications, RedactionPolicy
from cj_pipeline.traces.scenario import Profile

Word = TypeVar("Word", bound=StrEnum)


def choice(kind: type[StrEnum], *more: str) -> Any:
    """Return an enumeration for a launchpad, which completes its words and refuses others. more: words in front.

    Dagster shows the names of an enumeration, and ours are in capitals: here a name is its word.
    """
    return StrEnum(kind.__name__, {word: word for word in (*more, *(one.value for one in kind))})


if TYPE_CHECKING:
    JustificationsChoice: TypeAlias = str
    ProfileChoice: TypeAlias = str
else:
    JustificationsChoice, ProfileChoice = choice(Justifications), choice(Profile)


class NewTraceConfig(Config):
    """What a new trace is called, and what is taken out of it."""

    op: ClassVar[str]
    """Name of the op that is configured."""

    scenario_id: str = Field(
        description="Name of the new scenario, and of its folder: lower case, digits, underscores."
    )
    redact: bool = Field(default=True, description="Give essays pseudonyms and keep only metadata that names nobody.")
    justifications: JustificationsChoice = Field(
        default=JustificationsChoice("drop"), description="What becomes of the judge's sentences: drop, hash or keep."
    )
    key_file: str | None = Field(
        default=None,
        description="File of the key of the pseudonyms, made when it is not there; empty: "
        "CJ_PIPELINE_REDACTION_KEY_FILE, or a file in the data folder.",
    )

    def redaction(self, data_dir: Path, *public_models: str) -> Redaction | None:
        """Return the redaction asked for; None for none. Makes the key where there is none. Raises BadInput."""
        if not self.redact:
            return None
        key_file = default_key_file(data_dir) if self.key_file is None else Path(self.key_file)
        policy = RedactionPolicy(justifications=self.word(Justifications, "justifications", self.justifications))
        return Redaction(policy, Pseudonyms(key_from(key_file)), frozenset(public_models))

    def word(self, kind: type[Word], field: str, given: str) -> Word:
        """Return the value of a field as one of the words of an enumeration. Raises BadInput."""
        try:
            return kind(given)
        except ValueError:
            raise self.refusal(field, f"'{given}' is not known.", did_you_mean(given, kind)) from None

    def refusal(self, field: str, problem: str, remedy: str) -> BadInput:
        """Return the error about a field of the run's configuration."""
        return BadInput(problem, path="run configuration", field=f"ops.{self.op}.config.{field}", remedy=remedy)
