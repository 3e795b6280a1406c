"""Every causal type of transformers: sampled as a plain forward pass computes it and hooked at its residual stream, or
refused in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faithful.activations.quality import splice_contexts
from faithful.base.errors import FaithfulError
from faithful.hooks.hook import Hook
from faithful.hooks.hook_points import decoder_layers
from faithful.hooks.truncated import TruncatedModel
from faithful.models.load import load_model
from faithful.models.spec import resolve_model
from generation.sampling.distribution import Sampling
from generation.sampling.engine import Request, Sample
from generation.sampling.seeds import sample_seed
from generation.sampling.transformers_engine import TransformersEngine
from generation.scoring.self_check import checked_engine
from tests.causal_types import NOT_SMALL, TYPES, VOCAB, WIDTH, build_causal_type

NOT_CAUSAL = {
    "bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert", "prophetnet",
    "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet",
    "xmod",
}  # fmt: skip
# transformers loads the wrapper's text part alone, which it has no causal LM for; hashes at random; has no end-of-text
NOT_SAMPLED = NOT_CAUSAL | {"emu3", "mllama", "reformer", "cpmant"}
STREAMS = {"deepseek_v4", "gemma3n_text", "hy_v4", "qwen4_exp", "qwen4_exp_text"}
NOT_HOOKED = STREAMS | {"blt", "hrm_text", "longcat_flash"}
# what leaves each block, not what enters it
LISTED_AFTER = {"mamba", "mamba2", "falcon_mamba", "rwkv"}
SCHEDULES = {
    "even": {
        "axk2", "bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "deepseek_v32", "deepseek_v4", "falcon_h1",
        "falcon_mamba", "git", "glm_moe_dsa", "granitemoehybrid", "hy_v4", "inkling_text", "jamba", "kimi_linear", "lfm2",
        "lfm2_moe", "llama4", "llama4_text", "mamba", "mamba2", "marian", "mbart", "minimax", "mvp", "olmo_hybrid",
        "pegasus", "plbart", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next", "trocr", "whisper",
        "zamba", "zaya",
    },
    "whole": {
        "bamba", "blt", "nemotron_h", "openai-gpt", "qwen4_exp", "qwen4_exp_text", "recurrent_gemma", "rwkv", "xlstm",
        "zamba2",
    },
}  # fmt: skip
LONGEST = 23


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """One thread: more only cost time on models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", [name for name in TYPES if name not in NOT_SMALL])
def test_each_causal_type_is_right_or_refused(model_type: str, tmp_path: Path) -> None:
    folder = build_causal_type(model_type, tmp_path / model_type)
    try:
        spec = resolve_model(str(folder))
        model = load_model(spec, "cpu")
        engine = checked_engine(model, spec, Sampling(max_tokens=LONGEST), 3)
    except FaithfulError as error:
        assert model_type in NOT_SAMPLED, error
        assert "\n" not in str(error)
        return
    assert model_type not in NOT_SAMPLED
    expected = next((name for name, types in SCHEDULES.items() if model_type in types), "rolling")
    assert engine.schedule == expected
    check_samples(engine)
    ids = torch.randint(30, VOCAB, (2, 21), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = spec.bos_id
    if model_type in NOT_HOOKED:
        with pytest.raises(FaithfulError):
            TruncatedModel(model, Hook(0, "resid_post"))(ids)
    else:
        check_hooks(model, ids, model_type)
        check_splice(model, ids)


@pytest.mark.slow
@pytest.mark.parametrize("model_type", NOT_SMALL)
def test_types_that_cannot_be_built_small_still_cannot(model_type: str, tmp_path: Path) -> None:
    with pytest.raises((AttributeError, ImportError, ValueError)):
        build_causal_type(model_type, tmp_path / model_type)


def check_samples(engine: TransformersEngine) -> None:
    """Log-probabilities of a batch whose rows come and go equal a plain pass over each row; alone it is the same row."""
    single = TransformersEngine(engine.model, engine.spec, engine.sampling, 1, engine.schedule)
    engine.stop_ids = frozenset()
    ends = {sample.token_ids[place] for sample, place in zip(drawn(engine, 3), (2, 5, 9), strict=True)}
    engine.stop_ids = single.stop_ids = frozenset(ends)
    batch, alone = drawn(engine, 12), drawn(single, 3)
    assert len({len(sample.token_ids) for sample in batch}) > 1
    for sample in batch:
        np.testing.assert_allclose(sample.logprob_p, plain_log_p(engine, sample.token_ids), atol=1e-3)
    for one, other in zip(alone, batch, strict=False):
        assert one.token_ids == other.token_ids
        np.testing.assert_allclose(one.logprob_p, other.logprob_p, atol=1e-3)


def check_hooks(model: Any, ids: Tensor, model_type: str) -> None:
    """What a hook at the residual stream reads is what transformers lists as hidden states."""
    with torch.inference_mode():
        output = model(input_ids=ids, use_cache=False, output_hidden_states=True)
    listed = output.hidden_states if output.get("hidden_states") is not None else output.decoder_hidden_states
    compared = 0
    last = len(decoder_layers(model)[1]) - 1
    for layer in (0, 1, last):
        for kind, place in (("resid_pre", layer), ("resid_post", layer + 1)):
            place -= model_type in LISTED_AFTER
            if not 0 <= place < len(listed) - 1:  # the last one is after the last norm
                continue
            read = TruncatedModel(model, Hook(layer, kind))(ids)
            torch.testing.assert_close(read, listed[place], atol=1e-4, rtol=1e-4)
            compared += 1
    assert compared >= 4


class Identity:
    """What reconstructs everything."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, codes: Tensor) -> Tensor:
        return codes


def check_splice(model: Any, ids: Tensor) -> None:
    """The evaluation's passes, which start at the hook where they can, give what whole passes give."""
    hook, ordinary = Hook(1, "resid_post"), np.ones(VOCAB, dtype=bool)
    (found,) = splice_contexts(model, hook, [Identity()], list(ids.numpy()), torch.zeros(WIDTH), ordinary)
    losses = found.losses
    assert abs(losses["ce_diff"]) < 1e-4
    with torch.inference_mode():
        handle = hook.place(model).on(cut)
        log_p = model(input_ids=ids, use_cache=False).logits.log_softmax(-1)
        handle.remove()
    expected = -log_p[:, :-1].gather(2, ids[:, 1:, None]).mean()
    assert abs(losses["ce_zero"] - float(expected)) < 1e-4
    assert abs(losses["ce_zero"] - losses["ce_clean"]) > 1e-3


def cut(hidden: Tensor) -> Tensor:
    """Zero at every token that is scored: all but the last."""
    new = hidden.clone()
    new[:, :-1] = 0.0
    return new


def drawn(engine: TransformersEngine, count: int) -> list[Sample]:
    requests = (Request(index, sample_seed(0, "train", index)) for index in range(count))
    return sorted(engine.run(requests), key=lambda sample: sample.index)


@torch.inference_mode()
def plain_log_p(engine: TransformersEngine, ids: list[int]) -> np.ndarray:
    """log p of each token from one full forward pass, no cache and no mask, on [BOS] + ids."""
    logits = engine.model(torch.tensor([[engine.spec.bos_id, *ids[:-1]]]), use_cache=False).logits[0].float()
    return logits.log_softmax(-1)[range(len(ids)), ids].numpy()
