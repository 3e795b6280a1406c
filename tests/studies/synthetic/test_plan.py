"""What is asked for, and what is refused before work."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.sae.variant import variant_names
from studies.synthetic.config import SyntheticConfig
from studies.synthetic.plan import arms_of, check_plan, planted_arms

CONFIG = SyntheticConfig(Path("out"))


def test_by_default_every_variant_and_a_narrow_topk() -> None:
    arms = arms_of(CONFIG)
    assert [arm.label for arm in arms] == [*variant_names(), "topk-d_sae256"]
    stack = arms[0].stack(CONFIG, "hier", (0, 1))
    assert (stack.d_in, stack.d_sae, stack.k, stack.dead_tokens) == (128, 512, 11, 51_200)
    assert arms[0].stack(CONFIG, "ind", (0,)).k == 8
    assert arms[-1].stack(CONFIG, "hier", (0,)).d_sae == 256


def test_parameters_go_to_the_variant_and_sizes_to_the_stack() -> None:
    _, arm = arms_of(replace(CONFIG, variants=("anneal",), settings=("anneal.start=2", "anneal.k=5")))
    assert arm.label == "anneal-s2-k5"
    assert arm.variant.label.startswith("anneal start=2.0 ") and arm.stack(CONFIG, "ind", (0,)).k == 5


def test_topk_is_there_to_be_compared_with() -> None:
    def labels(variants: str, *settings: str) -> list[str]:
        return [arm.label for arm in arms_of(replace(CONFIG, variants=tuple(variants.split()), settings=settings))]

    assert labels("anneal topk", "topk.k=5") == ["topk", "anneal", "topk-k5"]
    assert labels("anneal topk") == ["anneal", "topk"]
    assert labels("soft_frozen", "soft-frozen.cosine=0.8,0.9") == ["topk", "soft-frozen", "soft-frozen-c0.9"]
    assert [arm.label for arm in planted_arms(replace(CONFIG, planted=("batchtopk",)))] == ["batchtopk"]


def test_sizes_that_the_rest_has_too_are_no_sizes_of_an_arm() -> None:
    arms = arms_of(replace(CONFIG, variants=("topk",), settings=("topk.d_sae=512,256", "topk.k=9,7"), k=9))
    assert [(arm.label, arm.sizes) for arm in arms] == [
        ("topk", {}),
        ("topk-k7", {"k": 7}),
        ("topk-d_sae256", {"d_sae": 256}),
        ("topk-d_sae256-k7", {"d_sae": 256, "k": 7}),
    ]


def test_settings_choose_among_all_variants() -> None:
    labels = [arm.label for arm in arms_of(replace(CONFIG, settings=("orthogonal.alpha=0,0.2", "topk.d_sae=256")))]
    assert labels[0] == "topk" and labels.count("topk-d_sae256") == 1 and len(labels) == len(variant_names()) + 2
    assert {"orthogonal-a0", "orthogonal-a0.2"} < set(labels)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"truths": ("heir",)}, "no truth 'heir'; choose hier or ind with --truth. Did you mean hier?"),
        ({"truths": ("foreign",)}, "no truth 'foreign'"),
        ({"variants": ("orthogonl",)}, "no variant 'orthogonl'.*Did you mean orthogonal"),
        ({"settings": ("topk.width=3",)}, "variant topk cannot be trained so"),
        ({"settings": ("topk.k=many",)}, "k of topk is no whole number; write it as --set topk.k=256"),
        ({"settings": ("topk.k=0",)}, "k 0 does not fit"),
        ({"variants": ("topk", "topk")}, "Name each variant once: --variant topk"),
        ({"settings": ("topk.k=9999",)}, "k 9999 does not fit"),
        (
            {"planted": ("topk-k9",)},
            "--planted names 'topk-k9', which is not trained; choose among topk, .* Did you mean topk?",
        ),
        ({"variants": ("anneal",), "planted": ("batchtopk",)}, "choose among topk, anneal, or none"),
        ({"seeds": (1, 1)}, "--seeds names none, or one twice"),
        ({"truth_seeds": ()}, "--truth-seeds names none"),
        ({"truth_seeds": (-1,)}, "must not be negative"),
        ({"d_in": 30}, "--d-in is 30, and a truth needs a multiple of 4"),
        ({"settings": ("anneal.start",)}, "'anneal.start' is no setting of a variant; write --set VARIANT.NAME=VALUE"),
        ({"settings": ("topk.k=2", "topk.k=3")}, "--set states topk.k twice"),
        ({"variants": ("topk",), "settings": ("anneal.start=2",)}, "is of no variant of this grid"),
        ({"lr": 0.0}, "--lr is 0, and a learning rate is above 0"),
        ({"lr": -0.1}, "--lr is -0.1, and a learning rate is above 0"),
        ({"lr": float("nan")}, "--lr is nan; state a finite number"),
        ({"tokens": 1}, "--tokens is 1, and a variance needs 2"),
        ({"workers": 0}, "--workers is at least 1"),
    ],
)
def test_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        check_plan(replace(CONFIG, **changed))
