"""What every SAE is, whatever its activation function."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from faithful.hooks.hook import Hook
from faithful.sae.autoencoder import Autoencoder
from faithful.sae.topk import TopKSAE


@dataclass
class Plain(Autoencoder):
    """ReLU alone."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    k: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    architecture = "standard"

    def to(self, device: Any = None, dtype: Any = None) -> "Plain":
        return self

    def encode(self, x: Tensor) -> Tensor:
        return self.pre_activations(x).relu()


def test_an_activation_function_is_all_that_an_architecture_adds(sae: TopKSAE, x: Tensor) -> None:
    plain = Plain(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    scores = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    torch.testing.assert_close(plain.pre_activations(x.double()), scores)
    torch.testing.assert_close(plain.reconstruct(x), scores.relu() @ sae.W_dec + sae.b_dec)
    assert (plain.d_in, plain.d_sae) == (12, 50)


def test_where_it_reads_is_what_its_file_says(sae: TopKSAE) -> None:
    plain = Plain(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    assert (plain.hook_name, plain.hook, plain.model_name) == (None, None, None)
    plain.metadata = {"hook_name": "blocks.3.hook_resid_pre", "model_name": "gpt2-small"}
    assert plain.hook == Hook(3, "resid_pre") and plain.model_name == "gpt2-small"
    plain.metadata = {"hook_name": "blocks.3.attn.hook_z"}
    assert plain.hook is None and plain.hook_name == "blocks.3.attn.hook_z"
