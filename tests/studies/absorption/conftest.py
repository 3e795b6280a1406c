"""SAEs of the embedded model, and labels that it knows."""

import json
from pathlib import Path
from typing import Any

import pytest

from faithful.formats.files import save_sae
from studies.absorption.config import AbsorptionConfig
from studies.absorption.texts import vocabulary
from studies.common.inputs import resolve_input
from tests.studies.random_saes import random_sae


@pytest.fixture(scope="package")
def saes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random SAEs of the embedded model, three seeds of two corpora."""
    folder = tmp_path_factory.mktemp("absorption") / "runs" / "tried" / "saes"
    for corpus in ("own", "web"):
        for seed in range(3):
            identity: dict[str, Any] = {
                "model": "tiny", "corpus": corpus, "hook": "resid_pre.3", "init_seed": seed, "d_sae": 512, "k": 8,
                "context": 64, "layout": "aligned", "dtype": "float32",
            }  # fmt: skip
            metadata = {
                "model_name": "tiny",
                "hook_name": "blocks.3.hook_resid_pre",
                "faithful": {"identity": identity},
            }
            place = folder / corpus / "resid_pre.3-f512-k8" / f"seed-{seed}"
            save_sae(place, random_sae(256, 512, 8, seed + 10 * (corpus == "web")), metadata)
    return folder


@pytest.fixture(scope="package")
def labels(tmp_path_factory: pytest.TempPathFactory, saes: Path) -> Path:
    """Words by whether they begin with a capital: the embedded model knows."""
    path = tmp_path_factory.mktemp("labels") / "capitals.jsonl"
    words = [word for _, word in vocabulary(resolve_input(AbsorptionConfig((saes,), path.parent, device="cpu")))]
    some = [word.strip() for word in words if word.startswith(" ") and len(word) > 3][:400]
    rows = [
        {"text": f"x = {one}", "parent": "capital" if one[0].isupper() else "small", "child": one[0]} for one in some
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
