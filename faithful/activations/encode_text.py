"""What a model and an SAE make of a text, for notebooks: its tokens, their activations and their codes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from faithful.base.errors import FaithfulError
from faithful.hooks.truncated import TruncatedModel
from faithful.models.load import load_model
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.sae.autoencoder import Autoencoder


@dataclass(frozen=True)
class EncodedText:
    """A text as an SAE sees it, a row for each token; BOS, which the model read before them, has none.

    Attributes:
        tokens: what each token reads as.
        token_ids: int64 [tokens].
        hidden: float32 [tokens, d_in], what the SAE reads.
        codes: float32 [tokens, d_sae], its latents.
    """

    tokens: list[str]
    token_ids: Tensor
    hidden: Tensor
    codes: Tensor

    def strongest(self, count: int = 10) -> list[tuple[int, str, float]]:
        """The latents that fire most: their number, the token on which they do, and how strongly; each latent once."""
        values, places = self.codes.max(dim=0)
        latents = values.argsort(descending=True, stable=True)[:count].tolist()
        return [(one, self.tokens[places[one]], float(values[one])) for one in latents if values[one] > 0]


def encode_text(sae: Autoencoder, text: str, spec: ModelSpec, model: Any = None) -> EncodedText:
    """Run a text through the model up to the SAE's hook, and encode it.

    Args:
        sae: from `load_sae`.
        text: tokenised as it stands, without special tokens; the model reads BOS before it where the SAE's contexts
            have one.
        spec: the model that the SAE was trained on, from `resolve_model`.
        model: the loaded model, to save loading it again. It and the SAE run where each is; the result is on the CPU.

    Raises:
        FaithfulError: an empty text, one longer than the model's or the SAE's contexts, an SAE that names no hook of ours or
            is of another width than the model.
    """
    tokenizer = load_tokenizer(spec.files, spec.hub_revision())
    ids = tokenizer.encode(text, add_special_tokens=False)
    limits = [most - 1 for most in (spec.positions, sae.metadata.get("context_size")) if most]
    if not ids or any(len(ids) > most for most in limits):
        most = f", at most {min(limits):,}, as the model's and the SAE's contexts hold" if limits else ""
        raise FaithfulError(f"The text has {len(ids):,} tokens; give one of 1 or more{most}.")
    truncated = reader(sae, spec, model)
    token_ids = torch.tensor(ids, dtype=torch.int64)
    rows = torch.cat([torch.tensor([spec.bos_id]), token_ids])[None].to(truncated.device)
    hidden = truncated(rows)[0, 1:].cpu()
    with torch.no_grad():
        codes = sae.encode(hidden.to(sae.W_dec.device)).cpu()
    return EncodedText([tokenizer.decode([one]) for one in ids], token_ids, hidden, codes)


def reader(sae: Autoencoder, spec: ModelSpec, model: Any = None) -> TruncatedModel:
    """The model up to the SAE's hook.

    Args:
        sae: from `load_sae`.
        spec: the model that the SAE was trained on.
        model: the loaded model; by default it is loaded.

    Raises:
        FaithfulError: an SAE that names no hook of ours or is of another width than the model.
    """
    if sae.hook is None:
        raise FaithfulError(f"The SAE names no place that is read here (it says {sae.hook_name!r}); name another SAE.")
    truncated = TruncatedModel(load_model(spec) if model is None else model, sae.hook)
    if truncated.d_in != sae.d_in:
        raise FaithfulError(
            f"The SAE reads {sae.d_in:,} dimensions and {spec.name} has {truncated.d_in:,}; name the model it is of."
        )
    return truncated
