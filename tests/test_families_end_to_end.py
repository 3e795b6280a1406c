"""Families that people train SAEs on, from the model to a study, as typed: small models with random weights.

Beside them hybrids and state-space models, and those whose layers are no single stream, which are refused in a sentence.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from faithful.store.corpus import Corpus, read_manifest
from generation.scoring.scorer import Scorer
from generation.writing.identity import sampling_of
from tests.causal_types import build_causal_type
from tests.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

IN_USE = (
    "gpt2", "gpt_neox", "gemma2", "gemma3_text", "gemma3", "llama", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text", "qwen3_next",
    "olmo2", "mistral", "gpt_oss", "r1-distill",
)  # fmt: skip
OTHERS = ("falcon_h1", "jamba", "lfm2", "granitemoehybrid", "recurrent_gemma", "mamba2", "rwkv", "gemma4_text")
SEVERAL_STREAMS = ("gemma3n_text", "deepseek_v4")
GENERATE = (
    "faithful generate --model {} --tokens 2500 --held-out 700 --max-tokens 23 --batch 64 --shard-rows 64 --out own"
)
TRAIN = (
    "faithful train --corpus own --out saes --seeds 0,1 --layer {} --hook resid_post --d-sae 64 --k 4 --tokens 2000"
    " --context 24 --eval-tokens 300"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families") / "here"


@pytest.fixture(scope="module")
def shell(home: Path) -> Iterator[Shell]:
    with Shell(home) as running:
        yield running


def build(name: str, folder: Path) -> Path:
    """A family's model; R1's distills are Qwen-2 (or Llama) with a BOS that config.json does not name."""
    if name != "r1-distill":
        return build_causal_type(name, folder)
    build_causal_type("qwen2", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 2, "eos_token_id": 2}))
    return folder


@pytest.fixture
def place(shell: Shell, home: Path, tmp_path: Path) -> Path:
    """The shell's folder for one family: an empty one."""
    shell.folder = tmp_path
    return tmp_path


@pytest.mark.parametrize("name", [*IN_USE, *OTHERS])
def test_generate_certify_train_study(name: str, shell: Shell, place: Path) -> None:
    folder = build(name, place / "model")
    planned = shell(GENERATE.format("model") + " --dry-run --json")
    assert planned.code == 0, planned.stderr
    made = shell(GENERATE.format("model") + " --certify-tokens 1500 --json")
    assert made.code == 0, made.stderr
    corpus, manifest = Corpus(place / "own"), read_manifest(place / "own")
    spec = resolve_model(str(folder))
    assert spec.bos_id == 1
    certificate = manifest.certificate
    assert certificate is not None
    assert certificate["impossible_share"] == 0
    assert certificate["verdict"] in ("consistent", "too few tokens")
    documents = list(corpus.documents("train"))[:60]
    scorer = Scorer(load_model(spec, "cpu"), spec, sampling_of(manifest))
    scored = scorer.log_p(documents)
    stored = np.concatenate([np.concatenate(batch.column("logprob_p").to_numpy(False)) for batch in corpus.batches()])
    difference = np.abs(stored[: len(scored)] - scored)
    assert difference.max() < 1e-2  # the two ways to compute a delta rule round apart (.0023 in one of 1,028 tokens)
    assert np.sqrt(np.mean(difference**2)) < 1e-3
    trained = shell(TRAIN.format(1) + " --json")
    assert trained.code == 0, trained.stderr
    studied = shell("faithful study seeds saes --json")
    assert studied.code == 0, studied.stderr


@pytest.mark.parametrize("name", SEVERAL_STREAMS)
def test_several_streams_are_sampled_and_refused_for_saes(name: str, shell: Shell, place: Path) -> None:
    build(name, place / "model")
    made = shell(GENERATE.format("model") + " --certify-tokens 0 --json")
    assert made.code == 0, made.stderr
    for more in ("", " --dry-run"):
        trained = shell(TRAIN.format(1) + more)
        assert trained.code == 2, trained.stderr
        assert "keeps 4 residual streams" in " ".join(trained.stderr.split())
    assert not list(place.glob("saes/**/*.safetensors"))
