"""A model that answers by one direction, and an SAE of which one latent alone carries it."""

from typing import Any

import numpy as np
import torch

from faithful.hooks.hook import Hook
from faithful.sae.topk import TopKSAE
from studies.unlearning.clamp import Firing
from studies.unlearning.questions import Asked, Question, Questions, ask

BOS, FORGET, RETAIN = 0, 1, 2
ANSWERS = {"A": 10, "B": 11, "C": 12, "D": 13}
WORDS = {"secret": FORGET, "known": RETAIN, **{f"w{n}": 20 + n for n in range(15)}, **ANSWERS}
HOOK = Hook(1, "resid_pre")
ORDINARY = np.arange(40) > 0


def planted_model() -> Any:
    """A GPT-2 of two layers that hand on what they get: direction 0 says A, direction 1 says B."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=BOS, eos_token_id=BOS,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for block in model.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.weight.zero_(), part.bias.zero_()
        model.transformer.wpe.weight.zero_()
        words = torch.rand(40, 16) * 0.3
        words[:, :4] = 0
        words[FORGET, 0] = words[RETAIN, 1] = 3
        model.transformer.wte.weight.copy_(words)
        head = torch.zeros(40, 16)
        for place, token in enumerate(ANSWERS.values()):
            head[token, place] = 1
        model.lm_head.weight.copy_(head)
    return model


def planted_sae() -> TopKSAE:
    """Latent i reads and writes direction i."""
    return TopKSAE(torch.eye(16), torch.zeros(16), torch.eye(16), torch.zeros(16), 6)


def encode(text: str) -> list[int]:
    """Words as tokens."""
    return [WORDS[word] for word in text.split()]


def planted_questions(word: str, answer: int) -> Questions:
    """Twelve questions that end in a word, all with the same right choice."""
    items = [Question(f"w{n} w{n + 1} {word}", ("A", "B", "C", "D"), answer) for n in range(12)]
    return Questions(word, tuple(items))


def planted_asked(word: str, answer: int) -> Asked:
    """The same as contexts."""
    return ask(planted_questions(word, answer), encode, BOS, 32, letters=False)


def planted_firing() -> Firing:
    """Latent 0 fires on the forget text alone, 1 on the retain text alone, those from 4 on on both."""
    forget, retain = np.full(16, 0.3), np.full(16, 0.3)
    forget[:4], retain[:4] = (0.25, 0, 0, 0), (0, 0.25, 0, 0)
    return Firing(forget, retain, np.where(forget > 0, 1.0, 0.0))
