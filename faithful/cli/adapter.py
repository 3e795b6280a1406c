"""A command's configuration as its parameters: typer's signature and help from the fields, and what was typed as fields."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand

from faithful.base.errors import FaithfulError
from faithful.options.fields import Option, options_of
from faithful.options.values import read_values

C = TypeVar("C")


@dataclass(frozen=True)
class Stated(Generic[C]):
    """What was typed, for a command that finds out the rest before there is a configuration.

    Attributes:
        config: the class.
        values: the fields that were typed, by name.
    """

    config: type[C]
    values: dict[str, Any]

    def build(self, **more: Any) -> C:
        """The configuration with what was typed, and what is given in place of it or besides."""
        return self.config(**self.values | more)


class Explained(TyperCommand):
    """A configured command: its help is read from the configuration's source when it is asked for, and no earlier."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        config = self.callback.config  # type: ignore[union-attr]
        options = {option.name: option for option in options_of(config) if not option.is_setting}
        for param in self.params:
            if param.name in options:
                param.help = options[param.name].help.replace("[", r"\[")  # type: ignore[attr-defined]
        if settings_of(config):
            self.epilog = settings_help(config)
        super().format_help(ctx, formatter)


def configured(function: Callable[..., None], config: Any = None) -> Callable[..., None]:
    """A command whose first parameter is a configuration, or `Stated`, as one with an option for each field of it.

    Args:
        function: the command.
        config: the configuration's class, where the parameter's annotation does not name it.
    """
    first, *others = inspect.signature(function).parameters.values()
    is_stated = get_origin(first.annotation) is Stated
    config = config or (get_args(first.annotation)[0] if is_stated else first.annotation)
    options = [option for option in options_of(config) if not option.is_setting]
    settings = settings_of(config)

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        pairs = pairs_of(arguments.pop("settings", None) if settings else None)
        parsed = {option: arguments.pop(option.name) for option in options}
        for option in options:
            if option.name in pairs and option.names:
                typed = f"{option.names[0]} {pairs[option.name]}"
                raise FaithfulError(f"{option.name} is an option of its own; write {typed} without --set.")
        values = {
            option.name: option.kind.read(value, option.names[0] if option.names else option.name)
            for option, value in parsed.items()
            if value is not None
        }
        values |= read_values(settings, pairs, f"--set of {config.COMMAND.split()[-1]}", "--set")
        stated: Stated[Any] = Stated(config, values)
        function(stated if is_stated else stated.build(), **arguments)

    parameters = [_parameter(option) for option in options]
    parameters += [_SET] if settings else []
    parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in others]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    command.config = config  # type: ignore[attr-defined]
    return command


def settings_of(config: Any) -> list[Option]:
    """The fields that are typed as `--set NAME=VALUE`."""
    return [option for option in options_of(config) if option.is_setting]


def settings_help(config: Any) -> str:
    """What `--set` takes, for the end of the help: `folds (4): Of the cross-validation of C.`; "" where it takes nothing."""
    lines = [
        f"{option.name} ({option.shown_default}): {option.text}"
        if option.shown_default
        else f"{option.name}: {option.text}"
        for option in settings_of(config)
    ]
    return "\n\n".join(["Settings for --set (default):", *lines] if lines else []).replace("[", r"\[")


def pairs_of(settings: Sequence[str] | None) -> dict[str, str]:
    """`NAME=VALUE` options as a table.

    Raises:
        FaithfulError: one without `=`, or a name twice.
    """
    pairs: dict[str, str] = {}
    for one in settings or ():
        name, equals, value = one.partition("=")
        if not equals:
            raise FaithfulError(f"'{one}' is no setting; write --set NAME=VALUE.")
        if name in pairs:
            raise FaithfulError(f"--set states {name} twice; give it once.")
        pairs[name] = value
    return pairs


_SET = inspect.Parameter(
    "settings",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        list[str] | None, typer.Option("--set", help="A setting of those below, as NAME=VALUE; repeat it.")
    ],
    default=None,
)


def _parameter(option: Option) -> inspect.Parameter:
    """A field as typer takes it. What is not typed is None, so that a default that is typed counts as stated."""
    kind: Any = list[option.kind.parsed_as] if option.kind.repeats else option.kind.parsed_as  # type: ignore[name-defined]
    told = {"rich_help_panel": option.panel, "metavar": option.metavar}
    info = typer.Option(*option.names, **told) if option.names else typer.Argument(**told)  # type: ignore[arg-type]
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind if option.required else kind | None, info],
        default=inspect.Parameter.empty if option.required else None,
    )
