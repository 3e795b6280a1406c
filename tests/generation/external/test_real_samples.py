"""Samples that the libraries themselves draw from the embedded model, as their users call them: what certify says of each.

| drawn by | declared | verdict |
|---|---|---|
| `model.generate`, T 1, nothing truncated, two seeds | that | consistent |
| `LLM.generate` of vLLM, T 1 | that | consistent |
| `model.generate` with the library's defaults (top-k 50) | T 1 | not from this distribution |
| `model.generate` with a top-k 50 left over | T 1 | not from this distribution |
| the same | T 1, certified `--as-top-k 50` | consistent |
| the first as text with its number of tokens | T 1 | text re-tokenised: not decidable beyond … |
| that with the top-k as text | T 1 | not from this distribution |
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from faithful.models.presets import tiny_path
from generation.certificate.certify import certify
from generation.certificate.conclude import CONSISTENT, NOT_FROM
from generation.certificate.retokenised import RETOKENISED
from generation.configs.add import AddConfig
from generation.configs.certify import CertifyConfig
from generation.external.add import add

pytestmark = pytest.mark.timeout(900)
SAMPLES, LONGEST, END = 256, 127, 0
PLAIN: dict[str, Any] = {"top_k": 0}
DRAWN: dict[str, tuple[int, dict[str, Any]]] = {
    "plain": (0, PLAIN),
    "another seed": (1, PLAIN),
    "library defaults": (2, {}),
    "leftover top-k": (3, {"top_k": 50}),
}


def as_texts(rows: list[list[int]]) -> list[dict[str, Any]]:
    """As the published sets have them: text without special tokens, and of how many tokens it was."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_path())
    texts = []
    for number, row in enumerate(rows):
        drawn = row[1:]
        ids = drawn[: drawn.index(END) + 1] if END in drawn else drawn
        text = tokenizer.decode(ids, skip_special_tokens=True)
        texts.append({"id": number, "seed": 0, "temp": 1.0, "top_p": 1.0, "text": text, "tokens": len(ids)})
    return texts


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Parquet files, one for each way of drawing, written as a user of transformers would."""
    folder = tmp_path_factory.mktemp("drawn")
    # Stored in halves, in which a processor without instructions for them takes hundred times as long.
    model = AutoModelForCausalLM.from_pretrained(tiny_path(), dtype=torch.float32)
    for name, (seed, options) in DRAWN.items():
        torch.manual_seed(seed)
        prompts = torch.zeros(SAMPLES, 1, dtype=torch.long)
        mask = torch.ones_like(prompts)
        with torch.inference_mode():
            ids = model.generate(prompts, attention_mask=mask, do_sample=True, max_new_tokens=LONGEST, **options)
        pq.write_table(pa.table({"input_ids": ids.tolist()}), folder / f"{name}.parquet")
        pq.write_table(pa.Table.from_pylist(as_texts(ids.tolist())), folder / f"{name} as text.parquet")
    return folder


def verdict(source: Path, out: Path, *, ids: bool | None = True, **declared: Any) -> dict[str, Any]:
    if not out.exists():
        add(AddConfig(str(source), "tiny", ids=ids, temperature=1.0, out=out))
    return certify(CertifyConfig(out, everything=True, device="cpu", **declared))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "declared", "expected"),
    [
        ("plain", {}, CONSISTENT),
        ("another seed", {}, CONSISTENT),
        ("library defaults", {}, NOT_FROM),
        ("leftover top-k", {}, NOT_FROM),
        ("leftover top-k", {"as_top_k": 50}, CONSISTENT),
    ],
)
def test_what_generate_draws(drawn: Path, tmp_path: Path, name: str, declared: dict[str, Any], expected: str) -> None:
    found = verdict(drawn / f"{name}.parquet", tmp_path / "corpus", **declared)
    assert found["verdict"] == expected, found["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_told"), [("plain", False), ("another seed", False), ("leftover top-k", True)])
def test_what_generate_draws_as_text(drawn: Path, tmp_path: Path, name: str, is_told: bool) -> None:
    found = verdict(drawn / f"{name} as text.parquet", tmp_path / "corpus", ids=None)
    assert 0.2 < found["against_drawn"]["round_trip_share"] < 0.8
    if is_told:
        assert found["verdict"] == NOT_FROM, found["reason"]
    else:
        assert found["verdict"].startswith(f"{RETOKENISED}: not decidable beyond ±0.0"), found["reason"]
        assert found["ci95"][0] > 0, "as samples they would be condemned"


VLLM = """
import json, sys
from vllm import LLM, SamplingParams
llm = LLM(model=sys.argv[1], dtype="float32", max_model_len=128, enforce_eager=True, seed=int(sys.argv[3]))
params = SamplingParams(temperature=1.0, max_tokens=127, detokenize=False)
prompts = [{"prompt_token_ids": [0]}] * int(sys.argv[4])
with open(sys.argv[2], "w") as file:
    for output in llm.generate(prompts, params, use_tqdm=False):
        (one,) = output.outputs
        row = {"prompt_token_ids": output.prompt_token_ids, "token_ids": list(one.token_ids)}
        file.write(json.dumps(row | {"finish_reason": one.finish_reason}) + "\\n")
"""


@pytest.mark.engine
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_what_vllm_draws(tmp_path: Path) -> None:
    path = tmp_path / "vllm.jsonl"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", VLLM, str(tiny_path()), str(path), "5", str(SAMPLES)],
        capture_output=True, text=True, env=environment, timeout=500, check=False,
    )  # fmt: skip
    assert path.is_file(), done.stderr[-3000:]
    assert {json.loads(line)["finish_reason"] for line in path.read_text().splitlines()} == {"stop", "length"}
    found = verdict(path, tmp_path / "corpus")
    assert found["verdict"] == CONSISTENT, found["reason"]
