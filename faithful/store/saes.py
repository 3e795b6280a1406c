"""Trained SAEs on disk and on the Hub: each known from its cfg.json and the header of its weights till they are asked for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.records import SEAL
from faithful.base.suggest import did_you_mean
from faithful.formats.files import (
    CONFIG,
    DICTIONARY_WEIGHTS,
    SEED,
    SPARSITY,
    WEIGHTS,
    folder_config,
    load_sae,
    load_tensor,
    locate_sae,
    outline_sae,
    weights_file,
)
from faithful.formats.record import Config, Figures, Identity, Metadata, Own, own_record, weights_sha256
from faithful.hooks.hook import Hook
from faithful.hub.errors import PAUSES_OF_A_PATIENT_CALL
from faithful.hub.local_files import is_named
from faithful.hub.repository import Repository
from faithful.sae.autoencoder import Autoencoder
from faithful.store.corpora_of_saes import noted_corpora
from faithful.store.corpus import MANIFEST, Manifest, read_manifest
from faithful.store.places import ROOT
from faithful.store.shape import shape_name

if TYPE_CHECKING:
    from torch import Tensor

HUB_PLACE = re.compile(r"[\w.-]+/[\w.-]+(/.+)?")
TRAINER_FOLDER = re.compile(r"trainer_\d+")

FILES = {
    CONFIG: "`cfg.json` (SAELens 6, with what is known of the training under `metadata`)",
    WEIGHTS: "`sae_weights.safetensors`",
    SPARSITY: "`sparsity.safetensors` (log10 of each latent's firing frequency on held-out text)",
    "train.jsonl": "`train.jsonl` (the log of its training)",
}


@dataclass(frozen=True)
class TrainedSae:
    """A trained SAE on disk. `outline` and what follows from it read the header of its weights, `load` alone the weights.

    Attributes:
        folder: where its files are.
        source: what the user would name it by: the folder, or `USER/REPO/place`.
        place: its folder below the one it was looked for in: `own/resid_pre.8-f12288-k16/seed-0`; '' for that one itself.
        corpus: name of the corpus it was trained on; for SAEs from elsewhere that of the data set they name, else of
            their folder, or of their repository.
        config: its cfg.json, of dictionary_learning its config.json.
        renamed: what it reads, by the name that other SAEs of a study have for it; None where that is its own.
    """

    folder: Path
    source: str
    place: str
    corpus: str
    config: Config = field(repr=False, compare=False)
    renamed: Hook | None = None

    @property
    def metadata(self) -> Metadata:
        """What its config says of its training, in SAELens' words."""
        return self.config.get("metadata") or {}

    @property
    def record(self) -> Own:
        """What `faithful train` wrote about it; empty for SAEs from elsewhere."""
        return own_record(self.config)

    @property
    def identity(self) -> Identity:
        """Everything that decides its weights; empty for SAEs from elsewhere."""
        return self.record.get("identity") or {}

    @property
    def evaluation(self) -> Figures:
        """Its figures on held-out text (docs/metrics.md, "Training"); empty for SAEs from elsewhere."""
        return self.record.get("evaluation") or {}

    def figure(self, name: str) -> float | None:
        """One of these by its name; None where it is not there or not defined."""
        figures: Mapping[str, Any] = self.evaluation
        return figures.get(name)

    @property
    def seed(self) -> int | None:
        """Init seed, None where neither its record nor its folder says."""
        of_folder = SEED.fullmatch(self.folder.name)
        stated = self.identity.get("init_seed", (self.config.get("trainer") or {}).get("seed"))
        return int(of_folder[1]) if stated is None and of_folder else stated

    @property
    def name(self) -> str:
        """`own seed 0`."""
        return self.corpus if self.seed is None else f"{self.corpus} seed {self.seed}"

    @property
    def shape_folder(self) -> str:
        """Name of the folder that holds it and its like of other seeds; of an SAE without a seed, its own."""
        return self.folder.parent.name if SEED.fullmatch(self.folder.name) else self.folder.name

    @property
    def files(self) -> list[Path]:
        """What is published of it."""
        return [self.folder / name for name in FILES if is_named(self.folder / name)]

    @cached_property
    def outline(self) -> Autoencoder:
        """The SAE without numbers, see `outline_sae`."""
        return outline_sae(self.folder)

    @property
    def d_in(self) -> int:
        """Dimensions of the activations."""
        return self.outline.d_in

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.outline.d_sae

    @property
    def hook(self) -> Hook | None:
        """What it reads; None where the file does not say, or names no place that studies read."""
        return self.renamed or self.outline.hook

    @property
    def hook_name(self) -> str:
        """The place as the file calls it, '' where it does not say."""
        return self.outline.hook_name or ""

    @property
    def model(self) -> str:
        """The language model as the file calls it, '' where it does not."""
        return self.outline.model_name or ""

    @property
    def context(self) -> int | None:
        """Tokens per context in its training, None where the file does not say."""
        stated = self.identity.get("context") or self.outline.metadata.get("context_size")
        return int(stated) if stated else None

    @cached_property
    def shape(self) -> str:
        """Hook, width and k, or what else it is: `resid_pre.8-f12288-k16`, `resid_pre.8-f12288-standard`,
        `resid_pre.8-f12288-k16-orthogonal-a0.2`."""
        place = self.hook.name if self.hook else self.hook_name or self.folder.name
        own = self.identity
        if "variant" in own:
            return f"{place}-{shape_name(self.d_sae, own['k'], own['variant'], own.get('parameters'))}"
        kind = f"k{self.outline.k}" if self.outline.k else self.outline.architecture
        return f"{place}-f{self.d_sae}-{kind}"

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights and of the config, which may change what they compute; the seconds that a training took do
        not, and the same SAE trained twice, or killed and gone on with, is the same."""
        return sha256_file(weights_file(self.folder)) + digest(_without_seconds(self.config))[:16]

    def load(self) -> Autoencoder:
        """The SAE, float32 on the CPU.

        Raises:
            FaithfulError: see `load_sae`.
        """
        return load_sae(self.folder)

    def tensor(self, name: str) -> "Tensor":
        """One of the SAE's tensors, float32 on the CPU, with as little else in memory as its files allow.

        Raises:
            FaithfulError: see `load_sae`.
        """
        if self._holds_what_is_used:
            return load_tensor(weights_file(self.folder), name)
        found: Tensor = getattr(self.load(), name).clone()
        return found

    @cached_property
    def _holds_what_is_used(self) -> bool:
        """Whether its file holds the tensors as they are used, as that of `faithful train` does: checked here once, all
        together."""
        if weights_sha256(self.config) is None:
            return False
        self.load()
        return True


def read_sae(folder: Path, below: Path | None = None, source: str | None = None) -> TrainedSae:
    """The SAE in a folder, of which only its config is read here.

    Args:
        folder: where it is.
        below: the folder it was looked for in, for its `place`.
        source: `USER/REPO/place` of one that came from the Hub.

    Raises:
        FaithfulError: see `folder_config`.
    """
    config = folder_config(folder)
    place = folder.relative_to(below or folder).as_posix()
    parts = source.split("/")[1:] if source else folder.resolve().parts
    return TrainedSae(folder, source or str(folder), "" if place == "." else place, _corpus_of(config, parts), config)


def _corpus_of(config: Config, parts: Sequence[str]) -> str:
    """The corpus an SAE was trained on: as recorded, else the last part of its data set's name, else after its path's parts
    as here, `CORPUS/SHAPE/seed-N` (dictionary_learning's RUN/PLACE/trainer_N is like it), or its own folder."""
    recorded = own_record(config).get("identity", Identity()).get("corpus")
    dataset = (config.get("metadata") or Metadata()).get("dataset_path") or config.get("dataset_path") or ""
    is_numbered = SEED.fullmatch(parts[-1]) or TRAINER_FOLDER.fullmatch(parts[-1])
    by_place = parts[max(0, len(parts) - 3)] if is_numbered else parts[-1]
    return str(recorded or str(dataset).rpartition("/")[2] or by_place)


def _without_seconds(value: Any) -> Any:
    """A config without how long its training took, and without the hashes that this is in."""
    if isinstance(value, dict):
        return {
            key: _without_seconds(part) for key, part in value.items() if key not in ("seconds", "log_sha256", SEAL)
        }
    return value


def find_saes(sources: Sequence[str | Path]) -> list[TrainedSae]:
    """SAEs at the given places, by corpus, shape and seed; of their weights only headers are read.

    The residual stream between two layers has one name: `resid_post.2` is called `resid_pre.3` where another SAE of them is.

    Args:
        sources: folders at any level (`runs/NAME/saes`, a corpus', a shape's, one SAE's) or Hub places
            (`USER/REPO`, `USER/REPO/own/resid_pre.8-f12288-k16`).

    Raises:
        FaithfulError: a place that holds none, two SAEs of one corpus, shape and seed, files that cannot be read.
    """
    found: dict[Path, TrainedSae] = {}
    for source in sources:
        for sae in _on_disk(Path(source)) if Path(source).is_dir() else _on_hub(str(source)):
            found.setdefault(sae.folder.resolve(), sae)
    named = _one_name_per_place(found.values())
    saes = sorted(named, key=lambda sae: (sae.corpus, sae.shape, -1 if sae.seed is None else sae.seed))
    for a, b in pairwise(saes):
        if a.seed is not None and (a.corpus, a.shape, a.seed) == (b.corpus, b.shape, b.seed):
            raise FaithfulError(f"{a.source} and {b.source} are both {a.name} of {a.shape}; name one of them.")
    return saes


def read_grid(folder: Path) -> list[TrainedSae]:
    """Every finished SAE below a folder, by place; half-trained ones have no cfg.json and are not there.

    Raises:
        FaithfulError: there is none, or one that cannot be read or lacks its weights.
    """
    saes = _on_disk(folder)
    for sae in saes:
        if not (sae.folder / WEIGHTS).is_file():
            raise FaithfulError(f"{sae.folder} holds no {WEIGHTS}; train the SAE again, or take its folder away.")
    return saes


def sae_folders(place: Path) -> list[Path]:
    """Folders of the SAEs below a folder, at any level, by name; those in hidden folders, where checkpoints are, are none."""
    found = [path for name in (CONFIG, DICTIONARY_WEIGHTS) for path in place.rglob(name) if not is_hidden(path, place)]
    return sorted({path.parent for path in found})


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a path lies in a hidden folder of another."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def by_shape(saes: Iterable[TrainedSae]) -> dict[str, list[TrainedSae]]:
    """SAEs of each shape."""
    groups: dict[str, list[TrainedSae]] = {}
    for sae in saes:
        groups.setdefault(sae.shape, []).append(sae)
    return groups


def ordered_shapes(saes: Iterable[TrainedSae]) -> dict[str, list[TrainedSae]]:
    """SAEs of each shape, that with most SAEs first, of those the widest: the first is what a study's headline is of."""
    groups = by_shape(saes)
    order = sorted(groups, key=lambda name: (-len(groups[name]), -groups[name][0].d_sae, name))
    return {name: groups[name] for name in order}


def seed_numbers(saes: Sequence[TrainedSae]) -> list[int]:
    """Seed of each SAE; those that state none are −1, −2 … within their corpus and shape, in the order given."""
    unnamed: dict[tuple[str, str], int] = {}
    numbers = []
    for sae in saes:
        if sae.seed is None:
            of = (sae.corpus, sae.shape)
            unnamed[of] = unnamed.get(of, 0) - 1
            numbers.append(unnamed[of])
        else:
            numbers.append(sae.seed)
    return numbers


def by_corpus(saes: Iterable[TrainedSae]) -> dict[str, list[TrainedSae]]:
    """SAEs of each corpus."""
    groups: dict[str, list[TrainedSae]] = {}
    for sae in saes:
        groups.setdefault(sae.corpus, []).append(sae)
    return groups


def corpora_beside(folder: Path) -> dict[str, Manifest]:
    """Manifests of the corpora that a grid was trained on, as far as they are still there."""
    paths = {name: folder / place for name, place in noted_corpora(folder).items()}
    return {name: read_manifest(path) for name, path in paths.items() if (path / MANIFEST).is_file()}


def _on_disk(source: Path) -> list[TrainedSae]:
    """The SAEs below a folder."""
    folders = sae_folders(source)
    if not folders:
        raise FaithfulError(f"{source} holds no SAEs; train some with `faithful train`, or name another folder.")
    return [read_sae(folder, source) for folder in folders]


def _on_hub(source: str) -> list[TrainedSae]:
    """The SAEs below a place on the Hub, fetched."""
    if source.startswith((".", "/", "~")) or not HUB_PLACE.fullmatch(source):
        runs = [one.parent.name for one in sorted(ROOT.glob("*/saes"))]
        near = did_you_mean(Path(source).name, runs, {name: ROOT / name for name in runs})
        raise FaithfulError(
            f"There is no folder {source}; train SAEs with `faithful train`, or name another place.{near}"
        )
    repo, place = "/".join(source.split("/")[:2]), "/".join(source.split("/")[2:])
    hub = Repository(repo, "model")
    try:
        files = hub.patiently(hub.api.list_repo_files, repo, pauses=PAUSES_OF_A_PATIENT_CALL)
    except FaithfulError as error:
        raise FaithfulError(f"There is no folder {source}. {error}") from error
    parents = sorted({name.rpartition("/")[0] for name in files if Path(name).name in (CONFIG, DICTIONARY_WEIGHTS)})
    places = [parent for parent in parents if not place or parent == place or parent.startswith(place + "/")]
    if not places:
        raise FaithfulError(f"{source} on the Hub holds no SAEs; name another place.")
    return [read_sae(locate_sae(repo, parent or None), source=f"{repo}/{parent}".rstrip("/")) for parent in places]


def _one_name_per_place(saes: Iterable[TrainedSae]) -> list[TrainedSae]:
    """What leaves a layer enters the next: called alike where both names occur, so that the last layer keeps its own."""
    given = list(saes)
    hooks = {sae.hook for sae in given}
    found = []
    for sae in given:
        if sae.hook is not None and sae.hook.kind == "resid_post":
            after = replace(sae.hook, layer=sae.hook.layer + 1, kind="resid_pre")
            if after in hooks:
                sae = replace(sae, renamed=after)
        found.append(sae)
    return found
