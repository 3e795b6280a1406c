"""A text as an SAE sees it."""

from typing import Any

import pytest
import torch

import faithful
from faithful.base.errors import FaithfulError
from faithful.models.spec import ModelSpec
from faithful.sae.topk import TopKSAE

TEXT = "def read(path):\n    return open(path).read()\n"
HOOK = "blocks.3.hook_resid_pre"


@pytest.fixture(scope="module")
def tiny() -> tuple[ModelSpec, Any]:
    spec = faithful.resolve_model("tiny")
    return spec, faithful.load_model(spec, "cpu")


def sae(d_in: int = 256, **metadata: Any) -> TopKSAE:
    rng = torch.Generator().manual_seed(1)
    W_enc = torch.randn(d_in, 64, generator=rng)
    return TopKSAE(W_enc, torch.zeros(64), W_enc.T.contiguous(), torch.zeros(d_in), 4, {"hook_name": HOOK} | metadata)


def test_every_token_has_what_the_model_and_the_sae_make_of_it(tiny: tuple[ModelSpec, Any]) -> None:
    spec, model = tiny
    found = faithful.encode_text(sae(), TEXT, spec, model)
    assert "".join(found.tokens) == TEXT
    with torch.no_grad():
        rows = torch.cat([torch.tensor([spec.bos_id]), found.token_ids])[None]
        expected = model(rows, output_hidden_states=True).hidden_states[3][0, 1:]
    torch.testing.assert_close(found.hidden, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found.codes, sae().encode(found.hidden))
    assert found.codes.shape == (len(found.tokens), 64)


def test_the_strongest_latents_stand_with_their_tokens(tiny: tuple[ModelSpec, Any]) -> None:
    found = faithful.encode_text(sae(), TEXT, *tiny)
    strongest = found.strongest(5)
    assert len({latent for latent, _, _ in strongest}) == 5
    assert [value for _, _, value in strongest] == found.codes.max(dim=0).values.topk(5).values.tolist()
    for latent, token, _ in strongest:
        assert found.tokens[found.codes[:, latent].argmax()] == token
    assert len(found.strongest(64)) < 64  # those that never fire are left out


def test_what_does_not_fit_is_refused(tiny: tuple[ModelSpec, Any]) -> None:
    for wrong, text, said in (
        (sae(hook_name="somewhere"), TEXT, "names no place"),
        (sae(d_in=8), TEXT, "reads 8 dimensions and tiny has 256"),
        (sae(), "", "has 0 tokens"),
        (sae(), "x = 1\n" * 100, "at most 127"),
        (sae(context_size=8), TEXT, "at most 7"),
    ):
        with pytest.raises(FaithfulError, match=said):
            faithful.encode_text(wrong, text, *tiny)
