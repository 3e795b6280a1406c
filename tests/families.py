"""Tiny random models of five families, built on the fly as real Hugging Face folders, each with its family's traps.

Two layers, heads of width 32, a vocabulary of about three hundred, under 2 MB. The weights are random but scaled: half of
the largest possible entropy per token, attention that depends strongly on what and where, end-of-text at 1–3 %.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

FAMILIES = ("gpt2", "gpt_neox", "llama", "gemma2", "mistral")
POSITIONS = 128
WIDTH = 64
HEAD = 32
LAYERS = 2
MERGES = 40
LOGIT_STD = 2.5
EOS_MASS = 0.02

TEXT = """It was a dark evening in the harbour, and the lamps along the water were lit one after another. The keeper of
the tower had counted the boats that morning, and he counted them again: there were seven, and there should have been
eight. "She will come in with the tide," said the boy, who had been sitting on the wall since noon. The keeper said
nothing. He had seen many tides, and he knew that the water brings back what it wants to bring back, and keeps the rest.
def count(boats): return sum(1 for boat in boats if boat.home)  # the rest are out at sea
In the morning the eighth boat was there, empty, tied to the second ring with a knot that nobody in the harbour knew."""


def build_family(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny checkpoint of the family `name` into `folder` and return it."""
    if name == "gpt2":
        tokenizer = tiny_tokenizer([], ["<|endoftext|>"], bos="<|endoftext|>", eos="<|endoftext|>")
        end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
        config = GPT2Config(
            vocab_size=len(tokenizer), n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=WIDTH // HEAD,
            bos_token_id=end, eos_token_id=end,
        )  # fmt: skip
        generation: dict[str, Any] | None = {"_from_model_config": True, "bos_token_id": end, "eos_token_id": end}
        return _save(folder, config, tokenizer, generation, [end], seed)
    if name == "gpt_neox":
        # Like Pythia: runs of blanks are added tokens beyond `tokenizer.vocab_size`, and the matrices are padded further.
        tokenizer = tiny_tokenizer(["<|endoftext|>", "<|padding|>"], [], bos="<|endoftext|>", eos="<|endoftext|>")
        tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in (5, 4, 3)])
        config = GPTNeoXConfig(
            vocab_size=len(tokenizer) + 32, max_position_embeddings=POSITIONS, hidden_size=WIDTH,
            num_hidden_layers=LAYERS, num_attention_heads=WIDTH // HEAD, intermediate_size=2 * WIDTH,
            rotary_pct=0.25, use_parallel_residual=True, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        return _save(folder, config, tokenizer, None, [0], seed)
    if name == "llama":
        first = ["<unk>", "<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]
        tokenizer = tiny_tokenizer(first, [], bos="<|begin_of_text|>", eos="<|end_of_text|>", adds_bos=True)
        config = _llama_config(len(tokenizer), bos_token_id=1, eos_token_id=2)
        generation = {"bos_token_id": 1, "eos_token_id": [2, 3, 4], "do_sample": True, "temperature": 0.6, "top_p": 0.9}
        return _save(folder, config, tokenizer, generation, [2, 3, 4], seed)
    if name == "gemma2":
        first = ["<pad>", "<eos>", "<bos>", "<unk>"]
        tokenizer = tiny_tokenizer(first, [], bos="<bos>", eos="<eos>", pad="<pad>", adds_bos=True)
        config = Gemma2Config(
            vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, hidden_size=96, num_hidden_layers=LAYERS,
            num_attention_heads=4, num_key_value_heads=2, head_dim=HEAD, intermediate_size=2 * WIDTH,
            query_pre_attn_scalar=24, sliding_window=16, attn_logit_softcapping=3.0, final_logit_softcapping=12.0,
            pad_token_id=0, eos_token_id=1, bos_token_id=2,
        )  # fmt: skip
        generation = {"_from_model_config": True, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
        return _save(folder, config, tokenizer, generation, [1], seed)
    if name == "mistral":
        tokenizer = tiny_tokenizer(["<unk>", "<s>", "</s>"], [], bos="<s>", eos="</s>", adds_bos=True)
        config = MistralConfig(
            vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, hidden_size=WIDTH, num_hidden_layers=LAYERS,
            num_attention_heads=2, num_key_value_heads=1, head_dim=HEAD, intermediate_size=2 * WIDTH,
            sliding_window=24, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        generation = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2}
        return _save(folder, config, tokenizer, generation, [2], seed)
    raise ValueError(f"no family {name}; there are {FAMILIES}")


def build_without_bos(folder: Path, seed: int = 0) -> Path:
    """Write a Llama whose tokenizer and config name neither BOS nor end-of-text."""
    tokenizer = tiny_tokenizer(["<unk>"], [])
    config = _llama_config(len(tokenizer), bos_token_id=None, eos_token_id=None)
    return _save(folder, config, tokenizer, None, [], seed)


def build_nan(folder: Path, seed: int = 0) -> Path:
    """Write a GPT-2 with NaN in one weight."""
    build_family("gpt2", folder, seed)
    return edit_weights(folder, lambda weights: weights["transformer.h.1.mlp.c_proj.weight"][3, 5].fill_(float("nan")))


def edit_weights(folder: Path, change: Any) -> Path:
    """Apply `change` to the dictionary of tensors in `folder` and write it back."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def copy_family(source: Path, target: Path) -> Path:
    """A copy of a model folder that a test may change."""
    shutil.copytree(source, target)
    return target


def _llama_config(vocab_size: int, **ids: int | None) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocab_size, max_position_embeddings=POSITIONS, hidden_size=2 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, head_dim=HEAD, intermediate_size=2 * WIDTH,
        tie_word_embeddings=False, rope_theta=500_000.0, **ids,
    )  # fmt: skip


def tiny_tokenizer(
    first: list[str],
    last: list[str],
    *,
    bos: str | None = None,
    eos: str | None = None,
    pad: str | None = None,
    adds_bos: bool = False,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on TEXT: the special tokens `first`, bytes and merges, the special tokens `last`."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(first) + 256 + MERGES, special_tokens=first, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([TEXT], trainer)
    core.add_special_tokens(last)
    if adds_bos and bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, core.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos, pad_token=pad)


def _save(
    folder: Path,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerFast,
    generation: dict[str, Any] | None,
    ends: list[int],
    seed: int,
) -> Path:
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    _fill(model, ends, torch.Generator().manual_seed(seed))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    path = folder / "generation_config.json"
    path.unlink(missing_ok=True)
    if generation is not None:
        path.write_text(json.dumps(generation, indent=2))
    return folder


@torch.no_grad()
def _fill(model: Any, ends: list[int], generator: torch.Generator) -> None:
    """Random weights of unit gain, with the residual's coordinate 0 set apart as the bias of end-of-text.

    No layer writes to coordinate 0 and every input embedding but end-of-text's holds −a there, so after the last norm it
    is nearly constant; the output rows of end-of-text read it with the opposite sign of all others. The last norm has
    random signs, or a tied matrix would make each token predict itself.
    """
    config = model.config
    width, vocab = config.hidden_size, config.vocab_size
    # q·k is divided by the root of query_pre_attn_scalar, here as everywhere close to the head's width.
    gains = {"q_proj": 1.5, "k_proj": 1.5, "c_attn": 1.5, "query_key_value": 1.5, "o_proj": 2.0, "dense.": 2.0}
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            is_norm = "norm" in name or ".ln_" in name
            one = 1.0 if is_norm and name.endswith("weight") and config.model_type != "gemma2" else 0.0
            weight.copy_(one + 0.1 * torch.randn(weight.shape, generator=generator))
            continue
        fan_in = weight.shape[0] if config.model_type == "gpt2" and ".h." in name else weight.shape[1]
        gain = next((value for part, value in gains.items() if part in name), 1.0)
        weight.copy_(gain * fan_in**-0.5 * torch.randn(weight.shape, generator=generator))

    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    for matrix in (embedding, output):  # the same tensor when tied
        scale = 1.0 if config.model_type == "gemma2" or matrix is output else width**0.5
        matrix.copy_(scale * width**-0.5 * torch.randn(matrix.shape, generator=generator))
    level = 1.0 if config.model_type != "gemma2" else width**-0.5
    tied = embedding is output
    read = -1.0 * output[:, 1:].std()
    embedding[:, 0] = -level
    output[:, 0] = -level if tied else read
    if ends:
        embedding[ends, 0] = level
        output[ends, 0] = level if tied else -read
        output[ends, 1:] *= 0.2

    for name, weight in model.named_parameters():
        if name.endswith(("wpe.weight", "wpe")):
            weight[:, 0] = 0.0
        if name.endswith(("attn.c_proj.weight", "mlp.c_proj.weight")):
            weight[:, 0] = 0.0
        elif name.endswith(("o_proj.weight", "down_proj.weight", "dense.weight", "dense_4h_to_h.weight")):
            weight[0] = 0.0
        if name.endswith(("c_proj.bias", "dense.bias", "dense_4h_to_h.bias")):
            weight[0] = 0.0
        if config.model_type == "gemma2" and "post_" in name:
            weight[0] = -1.0

    last = _last_norm(model)
    signs = torch.randint(0, 2, (width,), generator=generator) * 2.0 - 1.0
    gain = LOGIT_STD / (output[:, 1:].std() * width**0.5)
    offset = 1.0 if config.model_type == "gemma2" else 0.0
    last.weight.copy_(signs * gain - offset)
    if getattr(last, "bias", None) is not None:
        last.bias.zero_()
    if not ends:
        last.weight[0] = -offset
        return
    # What end-of-text must stand above the others: its share of exp(std²/2) · vocabulary, halved between both sides.
    target = torch.tensor(EOS_MASS / len(ends) * vocab).log() + LOGIT_STD**2 / 2
    height = target / 2 / output[ends[0], 0].abs()
    if getattr(last, "bias", None) is not None:
        last.weight[0], last.bias[0] = 0.0, height * output[ends[0], 0].sign()
        return
    hidden: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    probe = torch.randint(max(ends) + 1, vocab, (4, 16), generator=generator)
    model.eval()(probe)
    hook.remove()
    level_there = (hidden[0][..., 0] / hidden[0].pow(2).mean(-1).sqrt()).mean()
    last.weight[0] = height * output[ends[0], 0].sign() / level_there - offset


def _last_norm(model: Any) -> Any:
    for path in ("transformer.ln_f", "gpt_neox.final_layer_norm", "model.norm"):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    raise ValueError(f"no last norm in {type(model).__name__}")
