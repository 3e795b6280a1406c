"""Where latents of an SAE fire most on the held-out text of a corpus, for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faithful.activations.encode_text import reader
from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.models.tokenizer import load_tokenizer
from faithful.sae.autoencoder import Autoencoder
from faithful.store.corpus import Corpus
from faithful.store.token_rows import TokenRows, plan_tokens
from studies.common.codes import code_text
from studies.common.examples import strongest_contexts


@dataclass(frozen=True)
class LatentContext:
    """The tokens around the one on which a latent fires most in a document.

    Attributes:
        tokens: what each reads as.
        values: the latent's activation on each.
    """

    tokens: list[str]
    values: list[float]

    @property
    def strongest(self) -> tuple[str, float]:
        """The token on which the latent fires most, and how strongly."""
        at = self.values.index(max(self.values))
        return self.tokens[at], self.values[at]


def top_contexts(
    sae: Autoencoder,
    latents: Sequence[int],
    corpus: str | Path,
    spec: ModelSpec,
    model: Any = None,
    *,
    count: int = 5,
    tokens: int = 30_000,
) -> dict[int, list[LatentContext]]:
    """The contexts in which latents are most active, from one pass over held-out text.

    Args:
        sae: from `load_sae`.
        latents: their numbers.
        corpus: its folder; the first documents of its held-out part are read, from their beginnings, as far as the SAE's
            contexts reach.
        spec: the model that the SAE was trained on, from `resolve_model`.
        model: the loaded model, to save loading it again.
        count: contexts of each latent, at most.
        tokens: of the text that is read; all where the corpus holds fewer.

    Returns:
        by latent its contexts, the strongest first, each document once; none of a latent that fires nowhere.

    Raises:
        FaithfulError: a latent that the SAE does not have, fewer than one context or token, no corpus or one of another
            tokenizer or without held-out text, an SAE that names no hook of ours or is of another width than the model.
    """
    if wrong := [latent for latent in latents if not 0 <= latent < sae.d_sae]:
        raise FaithfulError(f"The SAE has no latent {wrong[0]}; its latents are 0 to {sae.d_sae - 1}.")
    if count < 1 or tokens < 1:
        raise FaithfulError(f"{count:,} contexts in {tokens:,} tokens show nothing; give 1 or more of both.")
    opened, context = Corpus(corpus), sae.metadata.get("context_size") or spec.default_context
    most = min(tokens, plan_tokens(opened, context, "aligned", "test", spec).usable)
    text = TokenRows(opened, spec, context, "aligned", "test", most)
    ordered = text.ordered(None)
    coded = code_text(reader(sae, spec, model), [sae], ordered.rows(0, len(ordered.stored)), text.ordinary)
    tokenizer, parts = load_tokenizer(spec.files, spec.hub_revision()), np.zeros(len(coded.rows), int)
    found = {one: strongest_contexts(one, coded, 0, [opened.name], parts, tokenizer, count) for one in latents}
    return {
        latent: [LatentContext(one["tokens"], one["values"]) for one in contexts] for latent, contexts in found.items()
    }
