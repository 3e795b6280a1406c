"""The SAEs that a study looks at: found on disk or on the Hub, each with its corpus, shape and seed."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.files import sha256_file
from faithful.base.records import SEAL
from faithful.base.suggest import did_you_mean
from faithful.formats.files import CONFIG, SPARSITY, WEIGHTS, load_sae, locate_sae, weights_file
from faithful.formats.record import read_config
from faithful.hooks.hook import Hook
from faithful.hub.errors import first_line
from faithful.hub.local_files import is_named
from faithful.sae.autoencoder import Autoencoder
from faithful.store.corpora_of_saes import noted_corpora
from faithful.store.corpus import MANIFEST, Manifest, read_manifest
from faithful.store.places import ROOT

HUB_PLACE = re.compile(r"[\w.-]+/[\w.-]+(/.+)?")
SEED_FOLDER = re.compile(r"seed-?(\d+)")


@dataclass(frozen=True)
class Trained:
    """A trained SAE.

    Attributes:
        folder: where its files are.
        source: what the user would name it by: the folder, or `USER/REPO/place`.
        corpus: name of the corpus it was trained on; for SAEs from elsewhere that of the data set they name, else of
            their folder, or of their repository.
        shape: hook, width and k, or what else it is: `resid_pre.8-f12288-k16`, `resid_pre.8-f12288-standard`.
        seed: init seed, None where the file does not say.
        d_in, d_sae: dimensions of the activations, number of latents.
        hook: what it reads; None where the file does not say, or names no place that studies read.
        hook_name: the place as the file calls it, '' where it does not say.
        model: as the file calls it, '' where it does not.
        context: tokens per context in its training, None where the file does not say.
    """

    folder: Path
    source: str
    corpus: str
    shape: str
    seed: int | None
    d_in: int
    d_sae: int
    hook: Hook | None
    hook_name: str
    model: str
    context: int | None

    @property
    def name(self) -> str:
        """`own seed 0`."""
        return self.corpus if self.seed is None else f"{self.corpus} seed {self.seed}"

    @cached_property
    def sha256(self) -> str:
        """Hash of the weights and of the config, which may change what they compute; the seconds that a training took do
        not, and the same SAE trained twice, or killed and gone on with, is the same."""
        told = json.dumps(_without_seconds(read_config(self.folder / CONFIG)), sort_keys=True).encode()
        return sha256_file(weights_file(self.folder)) + hashlib.sha256(told).hexdigest()[:16]

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `faithful train` wrote about it; empty for SAEs from elsewhere."""
        metadata = read_config(self.folder / CONFIG).get("metadata") or {}
        return dict(metadata.get("faithful") or {})

    def load(self) -> Autoencoder:
        """The SAE, float32 on the CPU.

        Raises:
            FaithfulError: see `load_sae`.
        """
        return load_sae(self.folder)


def _without_seconds(value: Any) -> Any:
    """A config without how long its training took, and without the hashes that this is in."""
    if isinstance(value, dict):
        return {
            key: _without_seconds(part) for key, part in value.items() if key not in ("seconds", "log_sha256", SEAL)
        }
    return value


def find_saes(sources: Sequence[str | Path]) -> list[Trained]:
    """SAEs at the given places, by corpus, shape and seed.

    The residual stream between two layers has one name: `resid_post.2` is called `resid_pre.3` where another SAE of them is.

    Args:
        sources: folders at any level (`runs/NAME/saes`, a corpus', a shape's, one SAE's) or Hub places
            (`USER/REPO`, `USER/REPO/own/resid_pre.8-f12288-k16`).

    Raises:
        FaithfulError: a place that holds none, two SAEs of one corpus, shape and seed, files that cannot be read.
    """
    found: dict[Path, Trained] = {}
    for source in sources:
        folders = _on_disk(Path(source)) if Path(source).is_dir() else _on_hub(str(source))
        for folder, name, parts in folders:
            if folder.resolve() not in found:
                found[folder.resolve()] = _describe(folder, name, parts)
    named = _one_name_per_place(found.values())
    saes = sorted(named, key=lambda sae: (sae.corpus, sae.shape, -1 if sae.seed is None else sae.seed))
    for one, two in pairwise(saes):
        if one.seed is not None and (one.corpus, one.shape, one.seed) == (two.corpus, two.shape, two.seed):
            raise FaithfulError(f"{one.source} and {two.source} are both {one.name} of {one.shape}; name one of them.")
    return saes


def sae_folders(place: Path) -> list[Path]:
    """Folders of the SAEs below a folder, at any level, by name."""
    return sorted({path.parent for path in place.rglob(CONFIG) if ".checkpoints" not in path.parts})


def by_shape(saes: Iterable[Trained]) -> dict[str, list[Trained]]:
    """SAEs of each shape."""
    groups: dict[str, list[Trained]] = {}
    for sae in saes:
        groups.setdefault(sae.shape, []).append(sae)
    return groups


def ordered_shapes(saes: Iterable[Trained]) -> dict[str, list[Trained]]:
    """SAEs of each shape, that with most SAEs first, of those the widest: the first is what a study's headline is of."""
    groups = by_shape(saes)
    order = sorted(groups, key=lambda name: (-len(groups[name]), -groups[name][0].d_sae, name))
    return {name: groups[name] for name in order}


def seed_numbers(saes: Sequence[Trained]) -> list[int]:
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


def by_corpus(saes: Iterable[Trained]) -> dict[str, list[Trained]]:
    """SAEs of each corpus."""
    groups: dict[str, list[Trained]] = {}
    for sae in saes:
        groups.setdefault(sae.corpus, []).append(sae)
    return groups


def _on_disk(source: Path) -> list[tuple[Path, str, tuple[str, ...]]]:
    """Folder, source and path in parts of each SAE below a folder."""
    folders = sae_folders(source)
    if not folders:
        raise FaithfulError(f"{source} holds no SAEs; train some with `faithful train`, or name another folder.")
    return [(folder, str(folder), folder.resolve().parts) for folder in folders]


def _on_hub(source: str) -> list[tuple[Path, str, tuple[str, ...]]]:
    """The same for a place on the Hub; the path begins with the repository's name."""
    if source.startswith((".", "/", "~")) or not HUB_PLACE.fullmatch(source):
        runs = [one.parent.name for one in sorted(ROOT.glob("*/saes"))]
        near = did_you_mean(Path(source).name, runs, {name: ROOT / name for name in runs})
        raise FaithfulError(
            f"There is no folder {source}; train SAEs with `faithful train`, or name another place.{near}"
        )
    from huggingface_hub import HfApi

    repo, place = "/".join(source.split("/")[:2]), "/".join(source.split("/")[2:])
    try:
        files = HfApi().list_repo_files(repo)
    except Exception as error:  # no such repository, gated, a dropped line: each has its own type
        raise FaithfulError(f"There is no folder {source}, and the Hub answers: {first_line(error)}.") from error
    parents = sorted(
        name.removesuffix(CONFIG).rstrip("/") for name in files if name == CONFIG or name.endswith("/" + CONFIG)
    )
    places = [parent for parent in parents if not place or parent == place or parent.startswith(place + "/")]
    if not places:
        raise FaithfulError(f"{source} on the Hub holds no SAEs; name another place.")
    names = [f"{repo}/{parent}".rstrip("/") for parent in places]
    return [
        (locate_sae(repo, parent or None), name, tuple(name.split("/")[1:]))
        for parent, name in zip(places, names, strict=True)
    ]


def _describe(folder: Path, source: str, parts: Sequence[str]) -> Trained:
    config = read_config(folder / CONFIG)
    metadata = config.get("metadata") or {}
    identity = (metadata.get("faithful") or {}).get("identity") or {}
    dataset = str(metadata.get("dataset_path") or config.get("dataset_path") or "").rpartition("/")[2]
    seed = SEED_FOLDER.fullmatch(folder.name)
    sae = load_sae(folder)
    hook_name = sae.hook_name or ""
    place = sae.hook.name if sae.hook else hook_name or folder.name
    kind = f"k{sae.k}" if sae.k else sae.architecture
    kind += f"-{identity['variant']}" if "variant" in identity else ""
    context = identity.get("context") or sae.metadata.get("context_size")
    return Trained(
        folder=folder,
        source=source,
        corpus=str(identity.get("corpus") or dataset or _corpus_folder(parts)),
        shape=f"{place}-f{sae.d_sae}-{kind}",
        seed=identity.get("init_seed", int(seed[1]) if seed else None),
        d_in=sae.d_in,
        d_sae=sae.d_sae,
        hook=sae.hook,
        hook_name=hook_name,
        model=sae.model_name or "",
        context=int(context) if context else None,
    )


def _one_name_per_place(saes: Iterable[Trained]) -> list[Trained]:
    """What leaves a layer enters the next: called alike where both names occur, so that the last layer keeps its own."""
    given = list(saes)
    hooks = {sae.hook for sae in given}
    found = []
    for sae in given:
        if sae.hook is not None and sae.hook.kind == "resid_post":
            after = replace(sae.hook, layer=sae.hook.layer + 1, kind="resid_pre")
            if after in hooks:
                sae = replace(sae, hook=after, shape=sae.shape.replace(sae.hook.name, after.name, 1))
        found.append(sae)
    return found


def _corpus_folder(parts: Sequence[str]) -> str:
    """Name for the corpus of an SAE that does not say: `CORPUS/SHAPE/seed-N` as here, else its own folder."""
    return parts[max(0, len(parts) - 3)] if SEED_FOLDER.fullmatch(parts[-1]) else parts[-1]


FILES = {
    CONFIG: "`cfg.json` (SAELens 6, with what is known of the training under `metadata`)",
    WEIGHTS: "`sae_weights.safetensors`",
    SPARSITY: "`sparsity.safetensors` (log10 of each latent's firing frequency on held-out text)",
    "train.jsonl": "`train.jsonl` (the log of its training)",
}


@dataclass(frozen=True)
class SaeCell:
    """An SAE of a grid.

    Attributes:
        place: its folder below the grid's: `own/resid_pre.8-f12288-k16/seed-0`.
        folder: on disk.
        config: its cfg.json.
    """

    place: str
    folder: Path
    config: dict[str, Any]

    @property
    def record(self) -> dict[str, Any]:
        """What `faithful train` wrote about it; empty for SAEs from elsewhere."""
        return dict((self.config.get("metadata") or {}).get("faithful") or {})

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides its weights."""
        return dict(self.record.get("identity") or {})

    @property
    def evaluation(self) -> dict[str, Any]:
        """Figures on held-out text (docs/metrics.md, "Training")."""
        return dict(self.record.get("evaluation") or {})

    @property
    def corpus(self) -> str:
        """Name of its training corpus."""
        metadata = self.config.get("metadata") or {}
        return str(self.identity.get("corpus") or metadata.get("dataset_path") or "unknown")

    @property
    def files(self) -> list[Path]:
        """What is published of it."""
        return [self.folder / name for name in FILES if is_named(self.folder / name)]


def read_cells(folder: Path) -> list[SaeCell]:
    """Every finished SAE below a folder, by place; half-trained ones have no cfg.json and are not there.

    Raises:
        FaithfulError: there is none, or one that cannot be read or lacks its weights.
    """
    found = []
    for path in sorted(folder.rglob(CONFIG)):
        if is_hidden(path, folder):
            continue
        place = path.parent.relative_to(folder).as_posix()
        found.append(SaeCell("" if place == "." else place, path.parent, read_config(path)))
        if not (path.parent / WEIGHTS).is_file():
            raise FaithfulError(f"{path.parent} holds no {WEIGHTS}; train the SAE again, or take its folder away.")
    if not found:
        raise FaithfulError(f"{folder} holds no SAEs; train some with `faithful train`, or name another folder.")
    return found


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a path lies in a hidden folder of another, where checkpoints are."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def corpora_beside(folder: Path) -> dict[str, Manifest]:
    """Manifests of the corpora that a grid was trained on, as far as they are still there."""
    paths = {name: folder / place for name, place in noted_corpora(folder).items()}
    return {name: read_manifest(path) for name, path in paths.items() if (path / MANIFEST).is_file()}
