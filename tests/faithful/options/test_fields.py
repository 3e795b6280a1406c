"""A configuration's fields as options."""

import sys
from dataclasses import MISSING
from types import ModuleType

import pytest

from faithful.options.fields import field_texts, names_in, options_of
from faithful.options.marks import panel
from tests.faithful.options.toy import ToyConfig, ToyOfSettings, ToyWithOneMore


def test_each_field_that_can_be_typed_is_an_option() -> None:
    options = {option.name: option for option in options_of(ToyConfig)}
    assert {name: option.names for name, option in options.items()} == {
        "place": (), "tokens": ("--tokens",), "seeds": ("--seeds",), "fast": ("--fast", "-f"),
        "kept": ("--kept/--no-kept",),
    }  # fmt: skip
    assert [name for name, option in options.items() if option.required] == ["place"]
    assert options["place"].default is MISSING and options["place"].shown_default == ""
    assert options["seeds"].help == "Which of them. Default 0-2."
    assert options["fast"].help == "Be quick."
    assert names_in(ToyConfig, panel("Speed")) == ["fast"]


def test_settings_are_marked() -> None:
    assert all(option.is_setting for option in options_of(ToyOfSettings))
    assert not any(option.is_setting for option in options_of(ToyConfig))


def test_without_the_source_there_are_options_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from dataclasses import dataclass\n@dataclass\nclass Lost:\n    size: int = 3\n    'How large.'\n"
    lost = ModuleType("lost")
    monkeypatch.setitem(sys.modules, "lost", lost)
    exec(code, vars(lost))
    (option,) = options_of(lost.Lost)
    assert (option.names, option.help) == (("--size",), "Default 3.")


def test_docstrings_are_those_of_the_class_and_of_what_it_is_made_from() -> None:
    texts = field_texts(ToyWithOneMore)
    assert list(texts) == ["place", "tokens", "seeds", "fast", "kept", "hidden", "colours"]
    assert texts["tokens"] == "How many [at most]."
    assert [option.name for option in options_of(ToyWithOneMore)][-1] == "colours"


def test_a_default_of_nothing_but_zero_is_said() -> None:
    from studies.fakes.config import FakesConfig

    options = {option.name: option for option in options_of(FakesConfig)}
    assert (options["seed"].default, options["seed"].shown_default) == (0, "0")
    assert options["own"].shown_default == ""
