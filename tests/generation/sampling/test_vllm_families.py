"""vLLM against transformers before the first sample: families that agree are sampled, one that does not is refused."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faithful.store.corpus import read_manifest
from tests.causal_types import build_causal_type

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

HEADS = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}
PLAIN = {"use_sliding_window": False, "sliding_window": None, "layer_types": None}
TIED = {"tie_word_embeddings": True}
SCALED = {"query_pre_attn_scalar": 32}
AGREE = {
    "gpt2": {"n_head": 2}, "gpt_neox": {"num_attention_heads": 2}, "gemma2": HEADS | SCALED, "gemma3_text": HEADS | SCALED,
    "llama": HEADS, "qwen2": HEADS | PLAIN, "qwen3": HEADS | PLAIN, "olmo2": HEADS, "mistral": HEADS, "gpt_oss": HEADS,
}  # fmt: skip
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


def generate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = (
        f"-m faithful generate --engine vllm --model {folder} --tokens 1500 --held-out 300 --batch 16 --workers 1"
        f" --certify-tokens 900 --out {folder.parent / 'own'}"
    )
    return subprocess.run(
        [sys.executable, *command.split(), *options],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", AGREE)
def test_families_in_use_are_sampled_past_their_windows(name: str, tmp_path: Path) -> None:
    done = generate(build_causal_type(name, tmp_path / "model", **AGREE[name]), "--max-tokens", "23")
    assert done.returncode == 0, done.stderr[-2000:]
    certificate = read_manifest(tmp_path / "own").certificate
    assert certificate is not None
    assert certificate["impossible_share"] == 0
    assert certificate["verdict"] in ("consistent", "too few tokens")


def test_a_window_that_vllm_takes_one_token_longer_is_refused_before_the_first_sample(tmp_path: Path) -> None:
    """Cohere-2: eight tokens back in transformers, nine in vLLM."""
    done = generate(build_causal_type("cohere2", tmp_path / "model", **HEADS | TIED), "--max-tokens", "23")
    assert done.returncode == 2, done.stderr[-2000:]
    said = " ".join(done.stderr.split())
    assert "disagree" in said
    assert "from token 9 of a text on" in said
    assert "use --engine transformers, or --max-tokens 8." in said
    assert not list(tmp_path.rglob("*.parquet"))
