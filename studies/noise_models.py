"""Controls of the fake-feature study: a model whose weights are permuted, and SAEs before their first step."""

import copy
from typing import Any

import torch

from faithful.sae.topk import TopKSAE
from studies.floors import Moments, initial_decoder
from studies.grid import Trained


def permuted_model(model: Any, seed: int) -> Any:
    """A copy of a causal LM in which the entries of every weight matrix are permuted; vectors (norms, biases) stay.

    A matrix that two modules share stays shared, and is permuted once.
    """
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                flat = parameter.data.flatten()
                order = torch.randperm(len(flat), generator=generator).to(flat.device)
                parameter.data = flat[order].view_as(parameter)
    return other


def untrained_sae(sae: Trained, moments: Moments) -> TopKSAE | None:
    """The SAE as it was before its first step, for activations with given moments; None without its record.

    The mean and the scale that training used are those of its first activations; here they are the panel's.
    """
    if not sae.record or sae.seed is None:
        return None
    identity = sae.record["identity"]
    d_in = len(moments.mean)
    rows = initial_decoder(sae.seed, d_in, identity["d_sae"])
    mean = moments.mean.float()
    return TopKSAE(rows.T.contiguous(), torch.zeros(identity["d_sae"]), rows, mean, identity["k"])
