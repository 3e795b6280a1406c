"""From rows to text: templates to the letter, task names however they are spelt, WikiText's lines as articles."""

import math
from typing import Any

import numpy as np
import pytest

from faithful.base.errors import FaithfulError
from generation.files.templates import TEMPLATES, choose, renderer, rule


def text_of(template: str | None, row: dict[str, Any], columns: tuple[str, ...] | None = None) -> str:
    return renderer(template, columns or TEMPLATES[str(template)].columns)(row)


@pytest.mark.parametrize(
    ("inputs", "targets", "text"),
    [
        ("Is it so?", "yes", "Is it so? yes"),
        ("Is it so? ", "yes", "Is it so? yes"),
        ("Is it so?\n", "yes", "Is it so?\nyes"),
        ("Options:\n- yes", "yes", "Options:\n- yes\nyes"),
        ("¿De veras…", "sí", "¿De veras… sí"),
        ("本当？", "はい", "本当？ はい"),
        ("", "alone", "alone"),
        ("alone", None, "alone"),
        (None, None, ""),
    ],
)
def test_the_rule_of_flan(inputs: str | None, targets: str | None, text: str) -> None:
    assert text_of("flan", {"inputs": inputs, "targets": targets}) == text
    assert text_of("prompt-completion", {"prompt": inputs, "completion": targets}) == text


def test_instructions() -> None:
    row = {"instruction": "Add.", "input": "1 + 1", "output": "2"}
    assert text_of("alpaca", row) == "Add.\n1 + 1\n2"
    assert text_of("alpaca", row | {"input": ""}) == "Add.\n2"
    task = {"definition": "Add.", "inputs": "1 + 1 =", "targets": "2"}
    assert text_of("natural-instructions", task) == "Add.\n1 + 1 = 2"
    assert text_of("natural-instructions", task | {"inputs": "1 and 1", "targets": ["2", "two"]}) == (
        "Add.\n1 and 1\n2\ntwo"
    )


def test_chats_in_both_ways_of_writing_them() -> None:
    turns = [
        {"role": "user", "content": " Hi "},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}, {"type": "image"}]},
        {"role": "tool", "content": None},
    ]
    assert text_of("chat", {"messages": turns}) == "User: Hi\n\nAssistant: Hello"
    shared = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert text_of("chat", {"conversations": shared}, ("conversations",)) == "User: Hi\n\nAssistant: Hello"
    assert text_of("chat", {"messages": None}) == text_of("chat", {"messages": []}) == ""


def test_format_strings_hold_braces_and_nothing_else() -> None:
    columns, template = choose(["a", "b.c"], None, "{{{a}}}\\n{b.c}\\t{a}", "it")
    assert (columns, template) == (("a", "b.c"), "{{{a}}}\n{b.c}\t{a}")
    assert text_of(template, {"a": 1, "b.c": "x"}, columns) == "{1}\nx\t1"
    assert text_of(template, {"a": " ", "b.c": None}, columns) == ""
    for wrong in ("{}", "{a:>9}", "{a!s}", "{a", "a}b{c}", "{{a}}"):
        with pytest.raises(FaithfulError, match="template"):
            choose(["a"], None, wrong, "it")


def test_what_is_read_when_nothing_is_stated() -> None:
    assert choose(["id", "messages", "text"], None, None, "it") == (("text",), None)
    assert choose(["id", "messages"], None, None, "it") == (("messages",), "chat")
    assert choose(["q", "a"], ("q", "a"), None, "it") == (("q", "a"), "{q}\n{a}")
    with pytest.raises(FaithfulError, match="none is called text; they fit --template alpaca"):
        choose(["instruction", "input", "output"], None, None, "it")
    with pytest.raises(FaithfulError, match="it has the columns q, a, and none is called text"):
        choose(["q", "a"], None, None, "it")


def test_every_template_states_its_rule() -> None:
    assert all(rule(name) == template.rule for name, template in TEMPLATES.items())
    assert rule("{a}") == "format string '{a}'"
    assert rule(None) == "one column as it stands"


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan").item(), float("-nan")])
def test_missing_values_are_no_words(missing: Any) -> None:
    assert text_of(None, {"text": missing}, ("text",)) == ""
    both = ("title", "text")
    assert text_of("{title}\n{text}", {"title": missing, "text": missing}, both) == ""
    assert text_of("{title}\n{text}", {"title": missing, "text": "x"}, both) == "\nx"
    assert text_of("alpaca", {"instruction": "a", "input": missing, "output": "b"}) == "a\nb"
    assert text_of("prompt-completion", {"prompt": missing, "completion": "b"}) == "b"
    assert text_of("chat", {"messages": missing}) == ""
    turns = [{"role": "user", "content": "x"}, {"role": missing, "content": "y"}, {"role": "tool", "content": missing}]
    assert text_of("chat", {"messages": turns}) == "User: x\n\nUser: y"


@pytest.mark.parametrize("ids", [[3, 1, 4], [0.5, 2.0], [[1, 2], [3]], ["a", 7], [True, False], (1, 2)])
@pytest.mark.parametrize("template", [None, "{token_ids}", "{text}: {token_ids}"])
def test_lists_of_numbers_are_no_text(template: str | None, ids: Any) -> None:
    row = {"token_ids": ids, "text": "x"}
    columns = ("token_ids",) if template is None else tuple(name for name in row if f"{{{name}}}" in template)
    with pytest.raises(FaithfulError, match="lists of numbers, such as token ids"):
        renderer(template, columns)(row)


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(FaithfulError, match="infinite"):
        text_of(None, {"text": math.inf}, ("text",))


BOTH = [
    {"role": "user", "content": "Hi", "from": None, "value": None},
    {"role": None, "content": None, "from": "gpt", "value": "Hello"},
]
ONE_EACH = [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}]
NANS = [
    {"role": "user", "content": "Hi", "value": math.nan},
    {"role": math.nan, "content": math.nan, "from": "gpt", "value": "Hello"},
]
COLUMNS = {"from": ["human", "gpt"], "value": ["Hi", "Hello"]}


@pytest.mark.parametrize("turns", [BOTH, ONE_EACH, NANS, COLUMNS])
def test_turns_of_two_styles_in_one_chat_are_all_there(turns: Any) -> None:
    assert text_of("chat", {"messages": turns}) == "User: Hi\n\nAssistant: Hello"


def test_an_empty_field_gives_way_to_the_one_that_holds_the_text() -> None:
    turns = [
        {"role": "", "from": "human", "content": "", "value": "Hi"},
        {"role": "tool", "content": None, "calls": [1]},
    ]
    assert text_of("chat", {"messages": turns}) == "User: Hi"


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"speaker": "a", "utterance": "Hi"}, "has the fields speaker, utterance and neither content nor value"),
        ({"user": "Hi"}, "has the fields user and"),
        ({"role": {"name": "user"}, "content": "Hi"}, "role of a turn is no text"),
        ({"role": "user", "content": {"parts": ["Hi"]}}, "structures"),
    ],
)
def test_turns_that_cannot_be_read_are_refused_by_name(turn: dict[str, Any], said: str) -> None:
    with pytest.raises(FaithfulError, match=said):
        text_of("chat", {"messages": [{"role": "user", "content": "x"}, turn]})


def test_a_column_of_messages_by_another_name_leads_to_the_template() -> None:
    with pytest.raises(FaithfulError, match="a list of messages is read with --column conversations --template chat"):
        choose(["id", "conversations"], None, None, "it")
