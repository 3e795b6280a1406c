"""How a row becomes text: one column as it stands, a named template, or a format string of the user's."""

import math
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from faithful.base.errors import FaithfulError

_LABELS = {"human": "User", "gpt": "Assistant"}
_ROLES, _CONTENTS = ("role", "from"), ("content", "value")
_ABOUT_TURNS = (*_ROLES, "name", "id", "type", "tool_call_id", "model", "timestamp", "language", "lang")
CHATS = ("conversations", "conversation", "dialogue", "dialog", "turns", "chat")


@dataclass(frozen=True)
class Template:
    """A named way to join columns.

    Attributes:
        columns: the columns it reads unless others are named, in this order.
        rule: what it does, exactly.
        join: values of the columns → text, "" when there is none.
    """

    columns: tuple[str, ...]
    rule: str
    join: Callable[[list[Any]], str]


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, or NaN, as numpy and pandas write it."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> str:
    """The text of a column's value: "" for None and NaN, a list of texts one below the other.

    Raises:
        FaithfulError: the value is a structure, infinite, or a list with numbers in it.
    """
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isinf(value):
        raise FaithfulError("A column holds an infinite number where text is needed; choose another column.")
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        if any(isinstance(part, bool | int | float) and not is_missing(part) for part in value):
            raise FaithfulError(
                "A column holds lists of numbers, such as token ids, where text is needed; choose the column of the texts."
            )
        return "\n".join(plain(part) for part in value)
    raise FaithfulError(
        f"A column holds structures ({type(value).__name__}) where text is needed; choose another column, or"
        " --template chat for a list of messages."
    )


def _continue(prompt: str, answer: str) -> str:
    """A prompt with its answer behind it, by the rule that users of FLAN share."""
    if not prompt or not answer or prompt[-1].isspace():
        return prompt + answer
    punctuation = prompt[-1] in string.punctuation or unicodedata.category(prompt[-1]).startswith("P")
    return f"{prompt}{' ' if punctuation else chr(10)}{answer}"


def _prompt_and_answer(values: list[Any]) -> str:
    return _continue(plain(values[0]), plain(values[1]))


def _below_each_other(values: list[Any]) -> str:
    return "\n".join(part for part in map(plain, values) if part.strip())


def _instructions(values: list[Any]) -> str:
    return _continue(_below_each_other(values[:2]), plain(values[2]))


def _chat(values: list[Any]) -> str:
    turns = values[0]
    if is_missing(turns):
        return ""
    if isinstance(turns, dict) and all(isinstance(field, list) for field in turns.values()):
        # the `datasets` library turns lists of structures round
        turns = [dict(zip(turns, turn, strict=False)) for turn in zip_longest(*turns.values())]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise FaithfulError(
            "The template `chat` needs a column with a list of messages, each with a role and a content; choose that"
            " column, or another --template."
        )
    shown = []
    for turn in turns:
        text = _content(turn)
        if text:
            role = _stated(turn, _ROLES) or "user"
            if not isinstance(role, str):
                raise FaithfulError(f"The role of a turn is no text but {role!r}; choose another --template.")
            shown.append(f"{_LABELS.get(role, role.capitalize())}: {text}")
    return "\n\n".join(shown)


def _content(turn: Mapping[str, object]) -> str:
    """The text of a turn, "" where it has none, as a call of a tool.

    Raises:
        FaithfulError: it has none of the fields that hold one, and text in another.
    """
    texts = [
        name for name, value in turn.items() if isinstance(value, str) and value.strip() and name not in _ABOUT_TURNS
    ]
    if texts and not any(name in turn for name in _CONTENTS):
        raise FaithfulError(
            f"A turn of a chat has the fields {', '.join(map(str, turn))} and neither content nor value;"
            " rename them, or choose another --template."
        )
    content = _stated(turn, _CONTENTS)
    if isinstance(content, list):
        content = [part.get("text") if isinstance(part, dict) else part for part in content]
    return plain(content).strip()


def _stated(turn: Mapping[str, object], names: tuple[str, ...]) -> Any:
    """The first of these fields that holds something: a table gives every turn the fields of all."""
    return next((turn[name] for name in names if not is_missing(turn.get(name)) and turn[name] != ""), None)


def _line(values: list[Any]) -> str:
    return plain(values[0])


_RULE = "the answer follows directly after white space, after a space behind punctuation, else on a new line"
WIKITEXT = "wikitext-articles"
TEMPLATES = {
    "flan": Template(("inputs", "targets"), f"inputs, then targets: {_RULE}", _prompt_and_answer),
    "prompt-completion": Template(("prompt", "completion"), f"prompt, then completion: {_RULE}", _prompt_and_answer),
    "alpaca": Template(
        ("instruction", "input", "output"),
        "instruction, input and output one below the other, empty ones left out",
        _below_each_other,
    ),
    "natural-instructions": Template(
        ("definition", "inputs", "targets"),
        f"definition and inputs one below the other, then targets: {_RULE}",
        _instructions,
    ),
    "chat": Template(
        ("messages",),
        "each turn as its role with a capital, a colon, a space and its content without surrounding white space; a"
        " blank line between turns; empty turns left out",
        _chat,
    ),
    WIKITEXT: Template(
        ("text",),
        "rows are lines: detokenised, equals signs of headings removed, joined with blank lines to one article per title",
        _line,
    ),
}


def choose(
    available: Sequence[str], columns: tuple[str, ...] | None, template: str | None, where: str
) -> tuple[tuple[str, ...], str | None]:
    """The columns to read and the template to apply, from what is stated and what there is.

    With nothing stated: the column `text`, else `messages` with the template `chat`. Several columns without a template
    go one below the other. In a format string, `\\n` and `\\t` typed as two characters are a line break and a tab.

    Args:
        available: columns of the source.
        columns: columns stated; for a named template they take the places of its own.
        template: name or format string stated.
        where: what the source is called in a sentence.

    Returns:
        Columns, and the template's name, the format string, or None for one column as it stands.

    Raises:
        FaithfulError: no such template or column, or nothing to go by.
    """
    names = ", ".join(available)
    if template is not None and "{" in template:
        template = template.replace("\\n", "\n").replace("\\t", "\t")
        columns = _fields(template)
    elif template is not None:
        if template not in TEMPLATES:
            raise FaithfulError(
                f"'{template}' is no template; choose one of {', '.join(TEMPLATES)}, or write a format string such as"
                " '{instruction}\\n{output}'."
            )
        wanted = TEMPLATES[template].columns
        columns = columns or wanted
        if len(columns) != len(wanted):
            raise FaithfulError(f"The template '{template}' takes {len(wanted)} columns ({', '.join(wanted)}).")
    elif columns:
        template = _joined(columns) if len(columns) > 1 else None
    elif "text" in available:
        columns = ("text",)
    elif "messages" in available:
        columns, template = ("messages",), "chat"
    else:
        fitting = [name for name, known in TEMPLATES.items() if set(known.columns) <= set(available)]
        chats = [f"--column {name} --template chat" for name in available if name in CHATS]
        how = f"they fit --template {' or '.join(fitting)}" if fitting else "choose with --column or --template"
        how = f"a list of messages is read with {chats[0]}" if chats and not fitting else how
        raise FaithfulError(f"{where} has the columns {names}, and none is called text; {how}.")
    missing = [name for name in columns if name not in available]
    if missing:
        raise FaithfulError(f"{where} has no column '{missing[0]}'; it has {names}.")
    return columns, template


def renderer(template: str | None, columns: tuple[str, ...]) -> Callable[[Mapping[str, object]], str]:
    """A function from rows to text; "" where every column that is read is empty."""
    if template is None:
        return lambda row: plain(row.get(columns[0]))
    if template in TEMPLATES:
        join = TEMPLATES[template].join
        return lambda row: join([row.get(name) for name in columns])
    pieces = [(literal, field) for literal, field, _, _ in string.Formatter().parse(template)]

    def fill(row: Mapping[str, object]) -> str:
        values = {name: plain(row.get(name)) for name in columns}
        if not any(value.strip() for value in values.values()):
            return ""
        return "".join(literal + (values[field] if field is not None else "") for literal, field in pieces)

    return fill


def rule(template: str | None) -> str:
    """What a template does, in words for a card."""
    if template is None:
        return "one column as it stands"
    return TEMPLATES[template].rule if template in TEMPLATES else f"format string {template!r}"


def _joined(columns: tuple[str, ...]) -> str:
    """The format string that puts columns one below the other."""
    for name in columns:
        if name and set(name) & set("{}!:["):
            raise FaithfulError(f"The column '{name}' cannot stand in a format string; rename it, or read it alone.")
    return "\n".join(f"{{{name}}}" for name in columns)


def _fields(template: str) -> tuple[str, ...]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise FaithfulError(f"The template {template!r} cannot be read ({error}); write columns as {{name}}.") from None
    fields = [field for _, field, _, _ in parsed if field is not None]
    if not fields or any(not field or spec or conversion for _, field, spec, conversion in parsed if field is not None):
        raise FaithfulError(f"The template {template!r} must name its columns as {{name}} and nothing else in braces.")
    return tuple(dict.fromkeys(fields))
