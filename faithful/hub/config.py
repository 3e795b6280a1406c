"""What `faithful publish run | corpus | saes` are told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from faithful.options.marks import ARGUMENT, BY_CODE_ALONE, Typed, names


@dataclass(frozen=True)
class PublishConfig:
    """What to publish where; of a run all of it."""

    COMMAND: ClassVar[str] = "publish run"

    path: Annotated[Path, ARGUMENT, Typed(metavar="PATH")]
    """Folder of the run, runs/NAME, or of the corpus or SAEs."""
    name: Annotated[str, ARGUMENT, Typed(metavar="USER/REPO")]
    """Repository on the Hub."""
    public: Annotated[bool | None, names("--public/--private")] = None
    """Who may see it; a new repository is private unless you say --public.

    One that an earlier publication made stays what it is.
    """
    revision: str | None = None
    """Tag of this publication; default the next free vN, and none where nothing changed."""
    yes: Annotated[bool, names("--yes", "-y")] = False
    """Write over what faithful did not make, or another publication; delete what is gone."""
    accept_licence: bool = False
    """The terms of the text, as shown, are met."""
    include_external: bool = False
    """Publish corpora of other people's text too."""


@dataclass(frozen=True)
class PublishCorpusConfig(PublishConfig):
    """What to publish of a corpus."""

    COMMAND: ClassVar[str] = "publish corpus"

    include_external: Annotated[bool, BY_CODE_ALONE] = False


@dataclass(frozen=True)
class PublishSaesConfig(PublishCorpusConfig):
    """What to publish of a grid of SAEs, or of the SAEs of a run."""

    COMMAND: ClassVar[str] = "publish saes"

    accept_licence: Annotated[bool, BY_CODE_ALONE] = False
