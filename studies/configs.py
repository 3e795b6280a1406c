"""What each study is told. Nothing heavy is imported here: `--help` shows it."""

from dataclasses import dataclass
from pathlib import Path

from studies.sizes import GAUSSIAN_SEEDS


@dataclass(frozen=True)
class StudyConfig:
    """What every study over SAEs is told; None and empty are left to the SAEs.

    Attributes:
        saes: folders or Hub places of SAEs.
        out: folder of the study.
        corpora: corpora whose held-out parts make the panel; by default those the SAEs were trained on, where they are
            still found.
        model: preset name, Hub id or folder.
        own: name of the own corpus, which the others are contrasted with.
        tokens: tokens of the panel in all; None is 30k on a CPU and 200k on a GPU.
        context, layout: tokens per context, BOS included; `aligned` or `packed`; by default as the SAEs were trained.
        device, dtype: of the model.
        seed: of every random choice of the study.
    """

    saes: tuple[str | Path, ...]
    out: Path
    corpora: tuple[Path, ...] = ()
    model: str | None = None
    own: str | None = None
    tokens: int | None = None
    context: int | None = None
    layout: str | None = None
    device: str | None = None
    dtype: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class SeedsConfig(StudyConfig):
    """What to compare.

    Attributes:
        gaussian_seeds: SAEs trained per corpus and shape on Gaussian activations for `floor_gaussian`; 0 leaves it out.
        gaussian_steps: at most so many steps of each; by default as many as the corpus' SAEs were trained.
        examples: latents shown per corpus, of the most and of the least reproducible ones.
    """

    gaussian_seeds: int = GAUSSIAN_SEEDS
    gaussian_steps: int | None = None
    examples: int = 5


@dataclass(frozen=True)
class FakesConfig(StudyConfig):
    """What to count.

    Attributes:
        noise_tokens: random tokens; by default 64k on a CPU and 1M on a GPU, and no fewer than 1,000 contexts of them.
        examples: top fake latents shown per corpus.
    """

    noise_tokens: int | None = None
    examples: int = 5


@dataclass(frozen=True)
class ProbesConfig(StudyConfig):
    """What to probe. `tokens` is the held-out text that the corpora's positions are compared on.

    Attributes:
        tasks: names, or `PLACE:TEXT:LABEL`, a folder, file or data set and its columns; by default the four on the Hub, for
            the embedded model those made of the embedded text.
        text_column, label_column: of places that state none; by default `text` and `label`.
        pooling: `mean`, `last` or `max`, over the tokens of a text that are no special ones.
        train_size, test_size: examples of a task, at most; by default 256 and 400 on a CPU and 2,000 each on a GPU.
        curve_points: training-set sizes, each a quarter of the next; the last is all.
        ks: features of the k-sparse probes.
        folds: of the cross-validation of C.
    """

    tasks: tuple[str, ...] = ()
    text_column: str | None = None
    label_column: str | None = None
    pooling: str = "mean"
    train_size: int | None = None
    test_size: int | None = None
    curve_points: int = 3
    ks: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    folds: int = 4


@dataclass(frozen=True)
class ReconstructionConfig(StudyConfig):
    """What to measure.

    Attributes:
        ks: divisors of k; (1, 2, 4) measures each SAE with k, k/2 and k/4 latents per token. SAEs without a k of their own
            are measured as they are.
    """

    ks: tuple[int, ...] = (1, 2, 4)


@dataclass(frozen=True)
class CorporaConfig:
    """What to compare.

    Attributes:
        folders: the corpora, in the order of the table.
        out: folder of the study.
        model: preset name, Hub id or folder; by default the model that the corpora were made for.
        own: the model's own T 1 corpus; by default one among or beside the corpora.
        tokens: about how many tokens to score per corpus; None is 100k on a CPU and 1M on a GPU, at most the smallest.
        budget: tokens that diversity is computed on; by default the smallest corpus', where corpora are sampled for a
            sweep at most 1M.
        temperatures, top_ps: settings of a sweep: own corpora sampled for it, as large as `budget`.
        device: `cpu` or `cuda`; by default what the machine has.
        dtype: type of the scoring pass; by default the model's on this device.
        seed: of the randomised transform and the bootstraps.
    """

    folders: tuple[Path, ...]
    out: Path
    model: str | None = None
    own: Path | None = None
    tokens: int | None = None
    budget: int | None = None
    temperatures: tuple[float, ...] = ()
    top_ps: tuple[float, ...] = ()
    device: str | None = None
    dtype: str | None = None
    seed: int = 0
