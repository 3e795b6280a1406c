"""Explanations of single latents that the study leaves for people, and for the pages of `faithful browse`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faithful.base.errors import FaithfulError
from faithful.base.files import write_atomically
from faithful.store.saes import TrainedSae
from studies.explanations.bench import SHUFFLED, TRAINED, Explained, ExplainedCell
from studies.explanations.score import Score, score

EXPLANATIONS = "explanations.parquet"


class Explanation(NamedTuple):
    """What was said of a latent.

    Attributes:
        text: in words; '' where nothing was.
        detection: how well it tells where the latent fires, 0.5 by chance.
        explained: whether that is more than chance.
    """

    text: str
    detection: float
    explained: bool


def scores_of(latents: Sequence[Explained], by: str) -> list[Score]:
    """Of latents, as far as they were judged by it."""
    return [score(one["fires"], one["judged"][by]["said"]) for one in latents if by in one["judged"]]


def write_explanations(path: Path, saes: Sequence[TrainedSae], cells: Mapping[str, ExplainedCell]) -> None:
    """Write every latent with its explanation: `corpus`, `seed`, `shape` and `sha256` of the SAE, `latent`, `density`,
    `explanation`, `detection`, `p`, `explained`, and `detection_shuffled`, None where no other was explained."""
    import polars as pl

    rows = []
    for sae in saes:
        latents = cells[sae.sha256]["trained"]
        shuffled: Sequence[Score | None] = scores_of(latents, SHUFFLED) or [None] * len(latents)
        for one, scored, other in zip(latents, scores_of(latents, TRAINED), shuffled, strict=True):
            rows.append(
                {
                    "corpus": sae.corpus, "seed": sae.seed, "shape": sae.shape, "sha256": sae.sha256,
                    "latent": one["latent"], "density": one["density"], "explanation": one["explanation"]["text"],
                    "detection": scored.detection, "p": scored.p, "explained": scored.explained,
                    "detection_shuffled": other.detection if other else None,
                }
            )  # fmt: skip
    schema: dict[str, Any] = {
        "corpus": pl.String, "seed": pl.Int64, "shape": pl.String, "sha256": pl.String, "latent": pl.Int64,
        "density": pl.Float64, "explanation": pl.String, "detection": pl.Float64, "p": pl.Float64,
        "explained": pl.Boolean, "detection_shuffled": pl.Float64,
    }  # fmt: skip
    table = pl.DataFrame(rows, schema=schema)
    write_atomically(path, lambda temporary: table.write_parquet(temporary))


def read_explanations(path: Path) -> dict[str, dict[int, Explanation]]:
    """Explanations by the hashes of SAEs and by latents; nothing where there is no file.

    Raises:
        FaithfulError: the file is damaged.
    """
    import polars as pl

    if not path.exists():
        return {}
    found: dict[str, dict[int, Explanation]] = {}
    try:
        rows = pl.read_parquet(path, columns=["sha256", "latent", "explanation", "detection", "explained"])
        for sae, latent, text, detection, explained in rows.iter_rows():
            found.setdefault(sae, {})[int(latent)] = Explanation(str(text), float(detection), bool(explained))
    except (pl.exceptions.PolarsError, OSError, TypeError, ValueError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; run the study again.") from error
    return found
