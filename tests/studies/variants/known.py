"""SAEs of three variants with records written by hand, and the study of them."""

from pathlib import Path
from typing import Any, cast

from faithful.base.progress import silent
from faithful.formats.files import save_sae
from faithful.sae.variant import find_variant
from studies.common.results import Done, Row, Summary, write_results
from studies.variants.config import VariantsConfig
from studies.variants.study import study_variants
from tests.studies.random_saes import HOOK, random_sae

SEEDS = range(6)
SETTINGS: dict[str, dict[str, Any]] = {"topk": {}, "anneal": {"start": 2.0}, "frozen-decoder": {}}
SHAPES = {
    "topk": "resid_pre.1-f16-k4",
    "anneal-s2": "resid_pre.1-f16-k4-anneal-s2",
    "frozen-decoder": "resid_pre.1-f16-k4-frozen-decoder",
}
NOISE = (0.0, 0.001, -0.001, 0.002, -0.002, 0.0005)


def written(run: Path, corpus: str, name: str, seed: int, fvu: float, **changes: Any) -> None:
    variant = find_variant(name, SETTINGS[name])
    identity: dict[str, Any] = {
        "model": "tiny-gpt2", "corpus": corpus, "hook": "resid_pre.1", "init_seed": seed, "d_sae": 16, "k": 4, "tokens": 100,
        "context": 32, "layout": "aligned", "dtype": "float32", "lr": 0.01,
    }  # fmt: skip
    if name != "topk":
        identity |= {"variant": name, "variant_version": 1, "parameters": dict(vars(variant))}
    evaluation = {"fvu": fvu + NOISE[seed], "never_fired": seed, "l0": 4.0}
    record = {"identity": identity | changes, "evaluation": evaluation}
    folder = run / "saes" / corpus / name / f"seed-{seed}"
    save_sae(folder, random_sae(8, 16, 4, seed), {"hook_name": HOOK, "faithful": record})


def table(run: Path, study: str, rows: list[Row], **said: Any) -> None:
    summary: dict[str, Any] = {"study": study, "corpora": {}, "contrasts": []}
    write_results(run / "studies" / study, cast(Summary, summary | said), rows)


def studied(run: Path, **stated: Any) -> Done:
    return study_variants(VariantsConfig((run / "saes",), run / "studies" / "variants", **stated), silent)
