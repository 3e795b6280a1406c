"""The contexts in which latents fire most, from Python."""

from pathlib import Path
from typing import Any

import pytest
import torch

import faithful
from faithful.activations.encode_text import reader
from faithful.base.errors import FaithfulError
from faithful.store.corpus import Corpus
from faithful.store.saes import find_saes
from tests.studies.conftest import Model


def test_contexts_are_those_in_which_the_latent_fires_most(run: Path, family_model: Model) -> None:
    """Against every document encoded by itself; read to the end where more tokens are asked for than there are."""
    spec, model = family_model("gpt2")
    sae, corpus = find_saes([run / "saes"])[0].load(), run / "corpora" / "own"
    truncated = reader(sae, spec, model)
    peaks = []
    for ids in Corpus(corpus).documents("test"):
        rows = torch.tensor([[spec.bos_id, *ids[:31]]])
        with torch.no_grad():
            codes = sae.encode(truncated(rows)[0, 1:])
        codes[torch.isin(rows[0, 1:], torch.tensor([spec.bos_id, *spec.eos_ids]))] = 0
        peaks.append(codes.amax(0))
    strongest = torch.stack(peaks).sort(0, descending=True).values
    latents = [int(one) for one in strongest[0].topk(3).indices] + [int(strongest[0].argmin())]
    found = faithful.top_contexts(sae, latents, corpus, spec, model, count=4, tokens=10**6)
    assert list(found) == latents
    for latent, contexts in found.items():
        expected = [value for value in strongest[:4, latent].tolist() if value > 0]
        assert [one.strongest[1] for one in contexts] == pytest.approx(expected, abs=2e-4)
        for one in contexts:
            token, value = one.strongest
            assert len(one.tokens) == len(one.values) and (token, value) in zip(one.tokens, one.values, strict=True)
    fewer = faithful.top_contexts(sae, latents[:1], corpus, spec, model, tokens=60)[latents[0]]
    assert 0 < len(fewer) < 5


@pytest.mark.parametrize(
    ("latent", "told", "said"),
    [(96, {}, "no latent 96; its latents are 0 to 95"), (-1, {}, "no latent -1"), (0, {"count": 0}, "0 contexts"),
     (0, {"tokens": 0}, "in 0 tokens")],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_before_a_model_is_loaded(
    run: Path, family_model: Model, latent: int, told: dict[str, Any], said: str
) -> None:
    sae = find_saes([run / "saes"])[0].load()
    with pytest.raises(FaithfulError, match=said):
        faithful.top_contexts(sae, [latent], run / "corpora" / "own", family_model("gpt2")[0], object(), **told)
