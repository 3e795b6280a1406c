"""What a run folder holds, read without a model: corpora, SAEs with their training logs, studies, recipe."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from faithful.base.errors import FaithfulError
from faithful.base.records import parse_record, read_bytes, read_text
from faithful.formats.record import MEND
from faithful.store.corpus import Manifest, read_manifest
from faithful.store.places import corpora_of, read_steps, studies_of
from faithful.store.saes import TrainedSae, read_sae, sae_folders
from studies.catalog import KNOWN
from studies.common.results import SUMMARY, ModelRead, Summary, read_summary
from studies.common.study import SETTINGS, Study, read_settings

SAMPLES = 4


@dataclass(frozen=True)
class CorpusFound:
    """A corpus of a run.

    Attributes:
        name: of its folder.
        folder: where it is.
        manifest: its corpus.json.
    """

    name: str
    folder: Path
    manifest: Manifest

    def samples(self) -> list[str]:
        """Its first texts, shortened; none where its data is not here."""
        from faithful.store.corpus import Corpus
        from generation.cards.parts import sample_texts

        if not self.manifest.rows() or not (self.folder / self.manifest.shards["train"][0].file).is_file():
            return []
        return sample_texts(Corpus(self.folder), SAMPLES)


def training_log(sae: TrainedSae) -> list[dict[str, float]]:
    """The lines of an SAE's train.jsonl; a torn one is left out."""
    path = sae.folder / "train.jsonl"
    if not path.is_file():
        return []
    content = read_bytes(path, MEND)
    if sae.record.get("log_sha256") not in (None, hashlib.sha256(content).hexdigest()):
        raise FaithfulError(f"{path} was edited or damaged: it is not the log that cfg.json beside it names; {MEND}.")
    points = []
    for place, line in enumerate(content.decode(errors="replace").splitlines()):
        try:
            points.append(parse_record(line, dict[str, float], f"{path}, line {place + 1}"))
        except FaithfulError:
            continue
    return points


@dataclass(frozen=True)
class StudyFound:
    """A finished study of a run.

    Attributes:
        name: of its folder.
        folder: where it is.
        summary: its summary.json.
    """

    name: str
    folder: Path
    summary: Summary

    @property
    def of(self) -> str:
        """Name of the study that it is, whatever its folder is called."""
        return self.summary.get("study", self.name)

    @property
    def record(self) -> Study | None:
        """The study's record; None for one that is not ours."""
        return KNOWN.get(self.of)

    @property
    def figures(self) -> list[Path]:
        """Its SVG figures by name."""
        return sorted((self.folder / "figures").glob("*.svg"))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was told; empty where it was not recorded."""
        return read_settings(self.folder / SETTINGS)


@dataclass(frozen=True)
class RunFound:
    """A run.

    Attributes:
        folder: where it is.
        corpora, saes: by name and place.
        studies: by the names of their folders; only those that are finished.
        recipe: text of its recipe.toml, None where there is none.
        steps: seconds of each step of its recipe.
    """

    folder: Path
    corpora: list[CorpusFound]
    saes: list[TrainedSae]
    studies: dict[str, StudyFound]
    recipe: str | None = None
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.resolve().name

    @property
    def of_truths(self) -> bool:
        """Whether it holds studies alone, of what they made themselves."""
        of_run = any(study.record.of_run for study in self.studies.values() if study.record)
        return bool(self.studies) and not self.corpora and not self.saes and not of_run

    @property
    def model(self) -> ModelRead:
        """The model, as far as it is known."""
        for study in self.studies.values():
            if "model" in study.summary:
                return study.summary["model"]
        for corpus in self.corpora:
            return cast(ModelRead, corpus.manifest.identity["model"])
        names = {sae.identity.get("model") or sae.metadata.get("model_name") for sae in self.saes}
        return {"name": ", ".join(sorted(filter(None, names))) or "unknown"}


def read_run(folder: Path) -> RunFound:
    """Read a run.

    Raises:
        FaithfulError: no such folder, nothing in it to report on, or a file that cannot be read.
    """
    if not folder.is_dir():
        raise FaithfulError(f"There is no run {folder}; name one, or start with `faithful run demo`.")
    steps = read_steps(folder)
    recipe = folder / "recipe.toml"
    found = RunFound(
        folder=folder,
        corpora=[CorpusFound(path.name, path, read_manifest(path)) for path in corpora_of(folder)],
        saes=[read_sae(path, folder / "saes") for path in sae_folders(folder / "saes")],
        studies=_studies(folder),
        recipe=_own_text(recipe, folder) if recipe.is_file() else None,
        steps={name: float(step["seconds"]) for name, step in steps.items()},
    )
    if not (found.corpora or found.saes or found.studies):
        raise FaithfulError(
            f"{folder} holds no corpora, SAEs or studies to report on; name another run, or start with `faithful run demo`."
        )
    return found


def _own_text(path: Path, folder: Path) -> str:
    """The text of a file that the page shows and that is sent with it: one that lies in the run.

    Raises:
        FaithfulError: a link fetches it from elsewhere.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FaithfulError(f"{path} is a link out of {folder}; put the file itself there, or take the link away.")
    return read_text(path)


def _studies(run: Path) -> dict[str, StudyFound]:
    """Finished studies, ours in the catalogue's order first, each before those of it in further folders."""
    found = [StudyFound(path.name, path, read_summary(path / SUMMARY)) for path in studies_of(run)]
    order = [*KNOWN]
    found.sort(key=lambda one: (order.index(one.of) if one.record else len(order), one.name != one.of, one.name))
    return {one.name: one for one in found}
