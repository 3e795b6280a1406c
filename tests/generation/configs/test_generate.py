"""What `generate` is told."""

from dataclasses import fields

from faithful.options.fields import names_in
from generation.configs.generate import SAMPLING, GenerateConfig
from generation.sampling.distribution import Sampling


def test_the_panel_of_sampling_is_all_that_decides_it() -> None:
    assert sorted(names_in(GenerateConfig, SAMPLING)) == sorted(field.name for field in fields(Sampling))


def test_only_what_is_stated_changes_the_sampling() -> None:
    assert GenerateConfig(temperature=0.7, mask_unmapped=False, seed=3).sampling_changes() == {
        "temperature": 0.7, "mask_unmapped": False,
    }  # fmt: skip
