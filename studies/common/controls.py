"""Controls of the fake-feature study: text in another order, a model whose weights are permuted, untrained SAEs."""

import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faithful.sae.topk import TopKSAE
from faithful.store.saes import TrainedSae
from studies.common.gaussian import initial_decoder
from studies.common.panel import shuffled_rows


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


def shuffled_documents(rows: Sequence[np.ndarray], ordinary: np.ndarray, seed: int) -> list[np.ndarray]:
    """Contexts with each document's ordinary tokens in random order, special ones where they were.

    Documents that share a context (layout `packed`) are told apart by the special tokens between them; those of a model
    without an end-of-text are not.

    Args:
        rows: int64 [≤ context], a special token first.
        ordinary: bool [vocab], False for special ids.
        seed: of the order.
    """
    documents = [np.split(row, np.flatnonzero(~ordinary[row])[1:]) for row in rows]
    shuffled = iter(shuffled_rows([one for of_row in documents for one in of_row], ordinary, seed))
    return [np.concatenate(list(islice(shuffled, len(of_row)))) for of_row in documents]


def has_untrained(sae: TrainedSae) -> bool:
    """Whether it is known how an SAE began."""
    return bool(sae.record) and sae.seed is not None


def untrained_sae(sae: TrainedSae, mean: Tensor) -> TopKSAE:
    """An SAE, of which that is known, as it was before its first step, for activations with the given mean [d_in].

    The mean that training used is that of its first activations.
    """
    identity = sae.record["identity"]
    rows = initial_decoder(identity["init_seed"], len(mean), identity["d_sae"])
    return TopKSAE(rows.T.contiguous(), torch.zeros(identity["d_sae"]), rows, mean.float(), identity["k"])
