"""A planted target is found, and clamping it takes the answer away and no other."""

import numpy as np
import pytest
import torch

from faithful.activations.quality import LOGITS_PER_FORWARD
from studies.common.controls import permuted_sae
from studies.unlearning.clamp import Clamp, Firing, answered
from tests.studies.unlearning.planted import (
    HOOK,
    ORDINARY,
    planted_asked,
    planted_firing,
    planted_model,
    planted_sae,
)


def test_latents_are_chosen_by_what_they_fire_on() -> None:
    firing = planted_firing()
    assert firing.chosen(0.01, 3).tolist() == [0]
    assert firing.chosen(0.5, 2).tolist() == [4, 5] and len(firing.chosen(0.5, 99)) == 13
    steps = Firing(np.array([0.1, 0.4, 0.2, 0.3]), np.array([0.0, 0.02, 0.01, 0.0]), np.ones(4))
    assert steps.chosen(0.01, 3).tolist() == [3, 2, 0]


def test_random_latents_are_others_of_about_the_same_density() -> None:
    density = np.repeat([0.01, 0.3], 30)
    firing = Firing(density, density, density)
    drawn = firing.like(np.arange(3), seed=1)
    assert len(set(drawn)) == 3 and not set(drawn) & {0, 1, 2} and (density[drawn] == 0.01).all()
    assert drawn.tolist() == firing.like(np.arange(3), seed=1).tolist()
    assert len(firing.like(np.arange(50), seed=1)) == 10


def test_random_latents_fire_on_what_is_to_go_as_often_as_the_chosen_ones() -> None:
    """The chosen latent fires on nothing but the forget text; the others of its mean density fire there half as often."""
    forget = np.array([0.4, *[0.2] * 12, *[0.4] * 12, 0])
    retain = np.array([0.0, *[0.2] * 12, *[0.8] * 12, 0.4])
    drawn = Firing(forget, retain, forget).like(np.array([0]), seed=0)
    assert forget[drawn].tolist() == [0.4]
    assert 25 not in Firing(forget, retain, forget).like(np.arange(13), seed=0)


def test_contexts_that_are_read_at_once_have_logits_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked, seen = planted_model(), planted_asked("secret", 0), list[int]()
    monkeypatch.setitem(LOGITS_PER_FORWARD, "cpu", 3 * 40 * max(len(row) for row in asked.rows))
    model.register_forward_pre_hook(lambda _, __, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    nothing = Clamp(np.zeros(0, np.int64), np.zeros(0, np.float32))
    answered(model, HOOK, asked, ORDINARY, {"": (planted_sae(), [nothing])})
    assert max(seen) == 3


def test_clamping_the_planted_latent_takes_its_answer_away_and_no_other() -> None:
    model, sae = planted_model(), planted_sae()
    target = Clamp(planted_firing().chosen(0.01, 1), np.array([-3.0], np.float32))
    others = Clamp(planted_firing().like(target.latents, 0), np.array([-3.0], np.float32))
    nothing = Clamp(np.zeros(0, np.int64), np.zeros(0, np.float32))
    saes = {"": (sae, [nothing, target, others]), "permuted": (permuted_sae(sae, 0), [target])}
    clean, under = answered(model, HOOK, planted_asked("secret", 0), ORDINARY, saes)
    assert clean.all() and under[""].mean(1).tolist() == [1, 0, 1] and under["permuted"].all()
    clean, under = answered(model, HOOK, planted_asked("known", 1), ORDINARY, saes)
    assert clean.all() and under[""][:2].all()


@pytest.mark.parametrize("word", ["secret", "known"])
def test_rows_that_are_not_touched_are_what_a_whole_pass_gives(word: str) -> None:
    """Latent 5 fires here and there: the contexts that are read again and the others, against every context read."""
    model, sae, asked = planted_model(), planted_sae(), planted_asked(word, 0)
    clamp = Clamp(np.array([5]), np.array([-40.0], np.float32))
    _, under = answered(model, HOOK, asked, ORDINARY, {"": (sae, [clamp])})
    ids = torch.from_numpy(np.array(asked.rows))
    h = model.transformer.wte(ids).detach()
    values, latents = sae.encode_sparse(h)
    fired = ((latents == 5) & (values > 0)).any(-1) & torch.from_numpy(ORDINARY)[ids]
    codes = (values * (latents == 5)).sum(-1)
    h[..., 5] += torch.where(fired, -40 - codes, torch.zeros(()))
    normed = torch.nn.functional.layer_norm(h, (16,))
    log_p = (normed @ model.lm_head.weight.T).log_softmax(-1)[asked.row, asked.position, asked.target].detach().numpy()
    assert under[""][0].tolist() == asked.right(log_p.astype(float)).tolist()


def test_settings_that_change_the_same_codes_are_read_once() -> None:
    """Latent 9 never fires on what is asked: with it or without, the same is read; another value is another reading."""
    model, asked, seen = planted_model(), planted_asked("secret", 0), list[int]()
    alone, other = (Clamp(np.array([0]), np.array([value], np.float32)) for value in (-3.0, -1.0))
    sae = planted_sae()
    sae.b_enc[9] = -100
    more = Clamp(np.array([9, 0]), np.array([-3.0, -3.0], np.float32))
    _, apart = answered(
        model, HOOK, asked, ORDINARY, {name: (sae, [one]) for name, one in enumerate((alone, more, other))}
    )
    model.register_forward_pre_hook(lambda _, __, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    _, under = answered(model, HOOK, asked, ORDINARY, {"": (sae, [alone, more, other, alone])})
    assert under[""].tolist() == [apart[place][0].tolist() for place in (0, 1, 2, 0)]
    assert len(seen) == 2 + 2, "the clean pass, whether layers can be skipped, and two settings"
