"""Keys of other tools: none both read and passed over, unknown and stated ones named."""

from dataclasses import fields
from typing import Any

import pytest

from faithful.base.errors import FaithfulError
from faithful.formats import keys
from faithful.formats.keys import harmless, refuse_stated, refuse_unknown


def test_harmless_keys_are_the_words_of_all_lists() -> None:
    assert harmless({"why": "a b\n c", "else": "d"}) == {"a", "b", "c", "d"}


def test_unknown_keys_are_refused_all_at_once_by_name() -> None:
    refuse_unknown(["k", "lr"], ["k"], {"training": "lr"}, "x")
    with pytest.raises(FaithfulError, match="The config of x states 'odd', 'other', which"):
        refuse_unknown(["other", "k", "odd"], ["k"], {}, "x")


@pytest.mark.parametrize("empty", [None, False, {}, [], ""])
def test_a_key_that_states_nothing_is_let_through(empty: object) -> None:
    refuse_stated({"skip": empty}, {"skip": "a skip connection"}, "x")


def test_a_key_that_states_something_is_named_with_what_it_means() -> None:
    with pytest.raises(FaithfulError, match="x states skip True: a skip connection; choose another SAE"):
        refuse_stated({"skip": True}, {"skip": "a skip connection"}, "x")


def test_all_settings_of_the_installed_sae_lens_are_known() -> None:
    from sae_lens import registry
    from sae_lens.config import LanguageModelSAERunnerConfig
    from sae_lens.loading.pretrained_sae_loaders import LLM_METADATA_KEYS

    known = {*keys.SAE_LENS_READ, *keys.harmless(keys.SAE_LENS_HARMLESS)}
    classes: list[Any] = [LanguageModelSAERunnerConfig]
    for architecture in ("standard", "topk", "jumprelu", "gated", "batchtopk", "matryoshka_batchtopk"):
        for find in (registry.get_sae_class, registry.get_sae_training_class):
            try:
                classes.append(find(architecture)[1])
            except KeyError:
                continue
    assert len(classes) > 8
    stated = {field.name for one in classes for field in fields(one)} | LLM_METADATA_KEYS
    assert stated - known == set()


def test_all_settings_of_the_installed_sparsify_are_known() -> None:
    from sparsify import SparseCoderConfig
    from sparsify.__main__ import RunConfig

    known = {*keys.SPARSIFY_READ, *keys.harmless(keys.SPARSIFY_HARMLESS)}
    assert {field.name for field in fields(SparseCoderConfig)} <= known
    run = {*keys.SPARSIFY_RUN_READ, *keys.harmless(keys.SPARSIFY_RUN_HARMLESS)}
    assert {field.name for field in fields(RunConfig)} <= run


def test_no_key_is_both_read_and_passed_over() -> None:
    assert not set(keys.SAE_LENS_READ) & keys.harmless(keys.SAE_LENS_HARMLESS)
    assert not set(keys.SPARSIFY_READ) & keys.harmless(keys.SPARSIFY_HARMLESS)
    assert not set(keys.SPARSIFY_RUN_READ) & keys.harmless(keys.SPARSIFY_RUN_HARMLESS)
