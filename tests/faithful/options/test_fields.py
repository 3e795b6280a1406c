"""A configuration's fields as options."""

from dataclasses import MISSING

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


def test_docstrings_are_those_of_the_class_and_of_what_it_is_made_from() -> None:
    texts = field_texts(ToyWithOneMore)
    assert list(texts) == ["place", "tokens", "seeds", "fast", "kept", "hidden", "colours"]
    assert texts["tokens"] == "How many [at most]."
    assert [option.name for option in options_of(ToyWithOneMore)][-1] == "colours"
