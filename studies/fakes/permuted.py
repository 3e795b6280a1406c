"""A model whose weights are permuted: a control of the study of fakes."""

import copy
from typing import Any

import torch


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
