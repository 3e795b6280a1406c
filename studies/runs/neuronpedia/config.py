"""What `faithful export neuronpedia` and `faithful publish neuronpedia` are told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, MAY_BE_MISSING, Count, Place, Typed, names

MOST_LATENTS = 128
"""What the client takes in one request."""
EXPLAINED, ALL, NONE = "explained", "all", "none"
"""Which explanations go along."""


@dataclass(frozen=True)
class ExportNeuronpediaConfig:
    """What to write upload records of."""

    COMMAND: ClassVar[str] = "export neuronpedia"

    run: Annotated[Place, ARGUMENT, MAY_BE_MISSING, Typed(metavar="[RUN]")]
    """Run; default: the current one."""
    out: Path | None = None
    """Folder of the records; default RUN/neuronpedia."""
    saes: Annotated[tuple[str, ...], names("--sae")] = ()
    """SAEs of a corpus, as own, or one of them, as own/seed-0; repeat it. Default: all that the pages show."""
    pages: Path | None = None
    """Pages of `faithful browse`; default RUN/browse."""
    corpora: Annotated[tuple[Path, ...], names("--corpus")] = ()
    """Corpus that the pages were made with, where `faithful browse` was told one, or a run, for its terms; repeat it."""
    model_id: str | None = None
    """The model's id at Neuronpedia; default: the last part of its name."""
    name: str | None = None
    """What the names of the source sets begin with; default: the run's name."""
    batch: Count = MOST_LATENTS
    """Latents of a request, at most 128."""
    explanations: str = EXPLAINED
    """Which of `faithful explain` go along: explained (those that tell where their latent fires, p < 0.05), all or none."""
    explanation_method: str | None = None
    """What Neuronpedia calls the way in which latents were explained, of the names that it knows; default: not said."""


@dataclass(frozen=True)
class PublishNeuronpediaConfig:
    """Which upload records to send where."""

    COMMAND: ClassVar[str] = "publish neuronpedia"

    run: Annotated[Place, ARGUMENT, MAY_BE_MISSING, Typed(metavar="[RUN]")]
    """Run; default: the current one."""
    records: Path | None = None
    """Folder of the records; default RUN/neuronpedia."""
    server: str | None = None
    """Address of a Neuronpedia of your own, as http://localhost:3000; default: the public one."""
    new_model: bool = False
    """Make the model there first, for one that Neuronpedia does not have."""
    accept_licence: bool = False
    """The terms of the text, as shown, are met."""
