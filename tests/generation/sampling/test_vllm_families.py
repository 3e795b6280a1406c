"""vLLM against transformers before the first sample: families that agree are sampled, one that does not is refused."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from faithful.store.corpus import read_manifest
from tests.causal_types import build_causal_type
from tests.shell import VLLM, Done, Shell

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


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with Shell(tmp_path_factory.mktemp("families") / "here", VLLM) as running:
        yield running


def generate(shell: Shell, folder: Path) -> Done:
    shell.folder = folder
    return shell(
        "faithful generate --engine vllm --model model --tokens 1500 --held-out 300 --batch 16 --workers 1"
        " --certify-tokens 900 --out own --max-tokens 23"
    )


@pytest.mark.parametrize("name", AGREE)
def test_families_in_use_are_sampled_past_their_windows(name: str, shell: Shell, tmp_path: Path) -> None:
    build_causal_type(name, tmp_path / "model", **AGREE[name])
    done = generate(shell, tmp_path)
    assert done.code == 0, done.stderr[-2000:]
    certificate = read_manifest(tmp_path / "own").certificate
    assert certificate is not None
    assert certificate["impossible_share"] == 0
    assert certificate["verdict"] in ("consistent", "too few tokens")


def test_a_window_that_vllm_takes_one_token_longer_is_refused_before_the_first_sample(
    shell: Shell, tmp_path: Path
) -> None:
    """Cohere-2: eight tokens back in transformers, nine in vLLM."""
    build_causal_type("cohere2", tmp_path / "model", **HEADS | TIED)
    done = generate(shell, tmp_path)
    assert done.code == 2, done.stderr[-2000:]
    said = " ".join(done.stderr.split())
    assert "disagree" in said
    assert "from token 9 of a text on" in said
    assert "use --engine transformers, or --max-tokens 8." in said
    assert not list(tmp_path.rglob("*.parquet"))
