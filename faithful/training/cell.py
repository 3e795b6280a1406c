"""One cell of a grid on disk: is it finished, what does it say of itself, and what may not be written."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from faithful.base.digest import digest
from faithful.base.errors import FaithfulError
from faithful.base.files import write_text
from faithful.base.version import __version__
from faithful.formats.files import CONFIG, WEIGHTS, save_sae
from faithful.formats.record import RECORD, Identity, Provenance
from faithful.models.spec import ModelSpec
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.stack import StepFigures, init_weights
from faithful.sae.variant import DEFAULT, Variant
from faithful.sae.variants.topk import TopK
from faithful.store.saes import read_sae
from faithful.store.shape import Shape
from faithful.training.config import Settings
from faithful.training.evaluate import Evaluation
from faithful.training.identity import in_words
from faithful.training.watch import Watched

ABSENT = {"load": "full"}
"""What an identity means that lacks a key."""
NOT_TRAINED = "the training left no trace, so no SAE was written"


class LogRow(StepFigures, Watched):
    """A line of train.jsonl: the figures of an interval, with those of its variant (`Stack.report`) and, where it was looked
    at, of held-out text; and the steps, stored tokens and seconds until then."""

    step: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """A place in the grid, and the SAE that is wished there.

    Attributes:
        folder: `OUT/CORPUS/resid_pre.8-f12288-k16/seed-0`.
        identity: everything that decides its weights, `d_sae`, `k` and `init_seed` among it.
        variant: how it is trained.
    """

    folder: Path
    identity: Identity
    variant: Variant = field(default_factory=TopK)

    @property
    def shape(self) -> Shape:
        """What it has in common with cells of other seeds."""
        return Shape(int(self.identity["d_sae"]), int(self.identity["k"]), self.variant)

    @property
    def seed(self) -> int:
        """Init seed."""
        return int(self.identity["init_seed"])

    @property
    def sha256(self) -> str:
        """Hash of the identity."""
        return digest(self.identity)

    @property
    def name(self) -> str:
        """`f1024-k16 seed 0`, for tables."""
        return f"{self.shape.name} seed {self.seed}"


def cell_folder(out: Path, corpus: str, settings: Settings, shape: Shape, seed: int) -> Path:
    """Where a cell lies."""
    return out / corpus / f"{settings.hook.name}-{shape.name}" / f"seed-{seed}"


def finished(cell: Cell) -> bool:
    """Whether the cell is on disk as wished; not where it is not known yet what it reads, as nothing was there to compare.

    Raises:
        FaithfulError: the folder holds an SAE trained otherwise, or one of another tool.
    """
    if not cell.identity["prefix_sha256"] or not (cell.folder / CONFIG).exists():
        return False
    wished: Mapping[str, object] = cell.identity
    trained: Mapping[str, object] = read_sae(cell.folder).identity
    if not trained:
        raise FaithfulError(f"{cell.folder} holds an SAE that `faithful train` did not write; choose another --out.")
    changed = [
        f"{name.replace('_', ' ')} {_said(name, wished)} asked for, {_said(name, trained)} there"
        for name in dict.fromkeys([*wished, *trained])
        if wished.get(name) != trained.get(name) and name != "prefix_sha256"
    ]
    if not changed and wished["prefix_sha256"] != trained.get("prefix_sha256"):
        changed = ["the corpus' text is another now"]
    if changed:
        raise FaithfulError(f"{cell.folder} was trained otherwise: {'; '.join(changed[:6])}. Choose another --out.")
    return (cell.folder / WEIGHTS).exists()


def _said(name: str, identity: Mapping[str, object]) -> str:
    value = identity.get(name, ABSENT.get(name))
    return in_words(value) if isinstance(value, dict) else str(value)


def refuse_untrained(cell: Cell, log: list[LogRow], found: Evaluation, hook_module: str, weights_sha256: str) -> None:
    """Refuse to write a record that shows no training.

    Raises:
        FaithfulError: no step was made, the loss is not finite or not lower than at the start (nor fvu, where AuxK's part or
            a variant's penalty grows), nothing fires, the output is zero, the evaluation is of another hook or other
            weights.
    """
    quality = found.figures
    first, last = (log[0]["loss"], log[-1]["loss"]) if log else (math.nan, math.nan)
    wrong = [
        (not log or log[-1]["step"] == 0, "it made no step"),
        (not math.isfinite(last), f"its loss is {last}"),
        (last >= first and not _rebuilds_better(log), f"its loss went from {first:.4g} to {last:.4g}"),
        (quality["l0"] == 0, "no latent fires on the held-out text"),
        (quality["l2_ratio"] == 0, "its output is zero"),
        (found.hook_module != hook_module, f"it was evaluated at {found.hook_module}, not at {hook_module}"),
        (found.weights_sha256 != weights_sha256, "other weights than its own were evaluated"),
    ]
    for happened, what in wrong:
        if happened:
            raise FaithfulError(
                f"{cell.folder}: {NOT_TRAINED}: {what}; train on more tokens, or with another --lr or --batch."
            )


def _rebuilds_better(log: list[LogRow]) -> bool:
    """Whether fvu fell though the loss did not: AuxK's part begins at 0, and a variant's penalty may grow."""
    return log[-1]["fvu"] < log[0]["fvu"]


def write_log(cell: Cell, log: list[LogRow]) -> str:
    """Write train.jsonl: a line per interval; the hash of its content."""
    content = "".join(json.dumps(row) + "\n" for row in log)
    write_text(cell.folder / "train.jsonl", content)
    return hashlib.sha256(content.encode()).hexdigest()


def transformer_lens_name(model: ModelSpec) -> str:
    """What TransformerLens, and so SAELens and SAEBench, call a model; a local one keeps its own name."""
    if model.is_local:
        return model.name
    if model.source == "openai-community/gpt2":
        return "gpt2-small"
    short = model.source.removeprefix("openai-community/").removeprefix("EleutherAI/")
    return short.removeprefix("google/") if model.family == "gemma" else short


def start_cosine(sae: Autoencoder, seed: int) -> float:
    """Median over latents of the cosine between a decoder row and the random row that it began as; rows of 0 do not count.

    Near 1 nothing was learnt; where rows have left their start it is near 0.
    """
    rows = sae.W_dec.detach().float().cpu()
    began = init_weights(seed, rows.shape[1], rows.shape[0])
    return float(torch.nn.functional.cosine_similarity(rows, began, dim=1)[rows.any(1)].median())


def write_cell(
    cell: Cell,
    sae: Autoencoder,
    settings: Settings,
    hook_module: str,
    log: list[LogRow],
    found: Evaluation,
    provenance: Provenance,
) -> None:
    """Write a finished SAE: log first, cfg.json last, so that a cell is finished or not there."""
    weights_sha256 = sae.sha256()
    refuse_untrained(cell, log, found, hook_module, weights_sha256)
    log_sha256 = write_log(cell, log)
    quality = found.figures | {
        "dead_in_training": log[-1]["dead_in_training"],
        "start_cosine": start_cosine(sae, cell.seed),
    }
    model = settings.model
    metadata = {
        "model_name": transformer_lens_name(model),
        "hook_name": settings.hook.tl_name,
        "context_size": settings.context,
        "prepend_bos": True,
        "dataset_path": cell.identity["corpus"],
        "exclude_special_tokens": True,
        "faithful_seed": cell.seed,
        "data_seed": settings.data_seed,
        "corpus": cell.identity["corpus"],
        "steps": log[-1]["step"],
        "tokens": log[-1]["tokens"],
        "l0": quality["l0"],
        "fvu": quality["fvu"],
        "never_fired": quality["never_fired"],
        **_trained_as(cell.shape),
        RECORD: {
            "version": __version__,
            "identity": cell.identity,
            "identity_sha256": cell.sha256,
            "hook_module": hook_module,
            "weights_sha256": weights_sha256,
            "log_sha256": log_sha256,
            "training": log[-1],
            "first_loss": log[0]["loss"],
            "evaluation": quality,
            **provenance,
        },
    }
    sparsity = found.density.clamp(min=1e-10).log10().float()
    save_sae(cell.folder, sae, metadata, sparsity)


def _trained_as(shape: Shape) -> dict[str, object]:
    """A variant in SAELens' words, all its parameters with it; of TopK nothing, which the architecture says."""
    if shape.variant.name == DEFAULT:
        return {}
    details = {"k": shape.k} | asdict(shape.variant)
    return {"training_architecture": shape.variant.name, "training_architecture_details": details}
