"""What every SAE is, whatever its activation function."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from faithful.hooks.hook import Hook
from faithful.sae.autoencoder import TENSORS, Autoencoder
from faithful.sae.threshold import ThresholdSAE
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
    activation = "standard"

    def encode(self, x: Tensor) -> Tensor:
        return self.pre_activations(x).relu()

    def encode_sparse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.encode(x)
        return codes, torch.arange(self.d_sae).expand(codes.shape)


def test_an_activation_function_is_all_that_an_architecture_adds(sae: TopKSAE, x: Tensor) -> None:
    plain = Plain(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    scores = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    torch.testing.assert_close(plain.pre_activations(x.double()), scores)
    torch.testing.assert_close(plain.reconstruct(x), scores.relu() @ sae.W_dec + sae.b_dec)
    torch.testing.assert_close(plain.decode_sparse(*plain.encode_sparse(x)), plain.reconstruct(x))
    assert (plain.d_in, plain.d_sae) == (12, 50)


def test_where_it_reads_is_what_its_file_says(sae: TopKSAE) -> None:
    plain = Plain(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec)
    assert (plain.hook_name, plain.hook, plain.model_name) == (None, None, None)
    plain.metadata = {"hook_name": "blocks.3.hook_resid_pre", "model_name": "gpt2-small"}
    assert plain.hook == Hook(3, "resid_pre") and plain.model_name == "gpt2-small"
    plain.metadata = {"hook_name": "blocks.3.attn.hook_z"}
    assert plain.hook is None and plain.hook_name == "blocks.3.attn.hook_z"


def test_the_hash_is_of_all_that_an_sae_computes_with(sae: TopKSAE) -> None:
    """That of a TopK SAE is of its four tensors in their order, as it always was."""
    weights = [getattr(sae, name) for name in TENSORS]
    bare = hashlib.sha256(b"".join(weight.contiguous().numpy().tobytes() for weight in weights)).hexdigest()
    low, high = (ThresholdSAE(*weights, torch.full((50,), threshold)) for threshold in (0.0, 0.5))
    assert sae.sha256() == bare != low.sha256() != high.sha256()
    assert high.to(dtype=torch.float64).to(dtype=torch.float32).sha256() == high.sha256()


def test_what_it_was_trained_as_is_its_name(sae: TopKSAE) -> None:
    weights = [getattr(sae, name) for name in TENSORS]
    low, high = (ThresholdSAE(*weights, torch.full((50,), threshold)) for threshold in (0.0, 0.5))
    assert [one.architecture for one in (sae, low, high)] == ["topk", "standard", "jumprelu"]
    high.metadata = {"training_architecture": "batchtopk", "training_architecture_details": {"k": 32.0}}
    low.metadata = {"training_architecture": "standard", "training_architecture_details": {"k": 16}}
    sae.metadata = {"training_architecture": "topk", "training_architecture_details": {"lr": 1.0}}
    assert [one.architecture for one in (sae, low, high)] == ["topk", "standard-k16", "batchtopk-k32"]
