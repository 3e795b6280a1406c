"""What `faithful evaluate …` is told. Nothing heavy is imported here: `--help` shows it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, SETTING, Count, CountOrNone, Names, names

PYTHON = Path(".venv-saebench/bin/python")


@dataclass(frozen=True)
class BridgeConfig:
    """What every evaluation outside is told."""

    saes: Annotated[tuple[str | Path, ...], ARGUMENT, MAY_BE_MISSING]
    """Folders of SAEs in SAELens' files, or runs; default: the SAEs of the current run."""
    out: Annotated[Path, MAY_BE_MISSING]
    """Folder; default evaluations/NAME of the run."""
    model: str | None = None
    """Preset name, Hub id, folder or GGUF file; default: the SAEs'."""
    python: Path = PYTHON
    """Python of the environment that SAEBench is installed in; `faithful doctor` says how to make one."""
    device: str | None = None
    """cpu or cuda; default: what the machine has."""


@dataclass(frozen=True)
class SaeBenchConfig(BridgeConfig):
    """What to run of SAEBench."""

    COMMAND: ClassVar = "evaluate saebench"

    evals: Annotated[Names, names("--evals")] = ("core", "sparse_probing")
    """core, sparse_probing and absorption, those wanted."""
    dtype: str | None = None
    """Type the model runs in."""
    corpora: Annotated[tuple[Path, ...], names("--corpus")] = ()
    """Corpus whose held-out text `core` reads, or a run; repeat it. Default: those trained on."""
    tokens: Count | None = None
    """Tokens that `core` reads in all; default 30k on a CPU, 200k on a GPU."""
    tasks: Annotated[Names, names("--task")] = ()
    """Tasks of `sparse_probing`, as `study probes` takes them; default: the embedded ones for the embedded model, elsewhere
    SAEBench's own eight sets of the Hub."""
    ks: Annotated[tuple[int, ...], SETTING] = (1, 2, 5, 10, 20, 50)
    """Features of the k-sparse probes."""
    train_size: Annotated[CountOrNone | None, SETTING] = None
    """Training examples of a task that is named, at most, before classes are balanced; by default as in study probes."""
    test_size: Annotated[CountOrNone | None, SETTING] = None
    """Test examples of a task, the same."""
    context: Annotated[CountOrNone | None, SETTING] = None
    """Tokens per context, BOS included; by default as the SAEs were trained."""
    seed: int = 0
    """Of the examples that the tasks draw; what SAEBench draws itself has the seed 42."""


@dataclass(frozen=True)
class SaeProbesConfig(BridgeConfig):
    """What to run of sae-probes."""

    COMMAND: ClassVar = "evaluate sae-probes"

    datasets: Annotated[Names, names("--dataset")] = ()
    """Sets of sae-probes, by name; default: all 113 with two classes."""
    ks: Annotated[tuple[int, ...], SETTING] = (1, 16)
    """Features of the k-sparse probes."""
    penalty: Annotated[str, SETTING] = "l1"
    """Of the logistic regressions, l1 or l2."""
