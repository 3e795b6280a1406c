"""The options of a configuration: one for each of its fields, explained by the docstring below the field."""

import ast
import inspect
import sys
from dataclasses import MISSING, dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, get_args, get_origin

from faithful.options.kinds import KINDS, Kind
from faithful.options.marks import Typed


@dataclass(frozen=True)
class Option:
    """One field as it is typed.

    Attributes:
        config: the configuration's class.
        name: of the field.
        names: of the option, `--tokens`; empty for an argument.
        kind: how its value is read and written.
        default: of the field; `MISSING` where it has none.
        panel, metavar: of the help.
        required: whether the command cannot do without it.
        is_setting: whether it is typed as `--set NAME=VALUE`.
    """

    config: Any
    name: str
    names: tuple[str, ...]
    kind: Kind
    default: Any
    panel: str | None
    metavar: str | None
    required: bool
    is_setting: bool

    @property
    def text(self) -> str:
        """What the docstring below the field says, its first paragraph; read from the source when it is asked for."""
        return field_texts(self.config).get(self.name, "")

    @property
    def shown_default(self) -> str:
        """The default as it is typed; '' where it has none that says anything."""
        has_none = self.default is MISSING or self.default is None or self.default is False or self.default == ()
        return "" if has_none else " ".join(self.kind.write(self.default))

    @property
    def help(self) -> str:
        """What it is, and its default."""
        return f"{self.text} Default {self.shown_default}.".lstrip() if self.shown_default else self.text


@cache
def options_of(config: Any) -> tuple[Option, ...]:
    """The options of a configuration, in the order of its fields; fields that cannot be typed have none."""
    return tuple(
        _option(config, field, mark, kind)
        for field, mark, kind in ((field, *_typed(field.type)) for field in fields(config))
        if not mark.by_code_alone
    )


def names_in(config: Any, panel: Typed) -> list[str]:
    """Names of the fields that stand in a panel of the help."""
    return [option.name for option in options_of(config) if option.panel == panel.panel]


def _option(config: Any, field: Any, mark: Typed, kind: Kind) -> Option:
    plain = f"--{field.name.replace('_', '-')}"
    if kind.parsed_as is bool and field.default is None:
        plain += f"/--no-{plain[2:]}"
    return Option(
        config=config,
        name=field.name,
        names=() if mark.argument else mark.names or (plain,),
        kind=kind,
        default=field.default,
        panel=mark.panel,
        metavar=mark.metavar,
        required=field.default is MISSING and not mark.may_be_missing,
        is_setting=mark.setting,
    )


def _typed(hint: Any) -> tuple[Typed, Kind]:
    """What a field's annotation says: the marks in it as one, and the kind of its type, None left out."""
    found: dict[str, Any] = {}
    key = None
    while get_origin(hint) is Annotated or type(None) in get_args(hint):
        if get_origin(hint) is not Annotated:
            (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
            continue
        hint, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Typed):
                found |= {name: value for name, value in vars(mark).items() if value}
            else:
                key = mark
    mark = Typed(**found)
    return mark, KINDS[str] if mark.by_code_alone else KINDS[key or hint]


@cache
def field_texts(config: Any) -> dict[str, str]:
    """The docstrings below a configuration's fields and those of the classes it is made from, first paragraphs in a line."""
    found: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        if "__dataclass_fields__" in vars(kind):
            found |= _texts_of_module(kind.__module__).get(kind.__name__, {})
    return found


@cache
def _texts_of_module(name: str) -> dict[str, dict[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (OSError, TypeError):  # without its source, as in a frozen program, a command has options and no words
        return {}
    return {node.name: _texts(node.body) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _texts(body: list[ast.stmt]) -> dict[str, str]:
    found = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split())
    return found
