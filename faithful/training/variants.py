"""The variants of a grid: named once each, and trained once for every combination of the values that settings give them.

One grammar for `faithful train`, `faithful study synthetic` and recipes: `--variant NAME --set NAME.SETTING=VALUE,VALUE`.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.suggest import did_you_mean
from faithful.sae.variant import Variant, find_variant, variant_names

WORDS = {"true": True, "false": False}


def variants_of(names: Sequence[str], settings: Iterable[str]) -> tuple[Variant, ...]:
    """The variants of a grid, see `combinations`.

    Raises:
        FaithfulError: what `combinations` refuses, a setting that a variant does not have, a value that cannot be.
    """
    return tuple(find_variant(name, stated) for name, stated in combinations(names, settings))


def combinations(names: Sequence[str], settings: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    """Each variant with each combination of the values that are stated of it, in the order of the names.

    Args:
        names: of the variants; `_` may stand for `-`.
        settings: `VARIANT.NAME=VALUE`; several values with commas between them make a grid.

    Raises:
        FaithfulError: no variant or one twice, one that there is not, a setting of none of them.
    """
    wished = [name.replace("_", "-") for name in names]
    twice = next((name for name in wished if wished.count(name) > 1), None)
    if not wished or twice:
        raise FaithfulError(
            f"Name each variant once: --variant {twice or 'topk'}; values with commas between them, as --set"
            f" {twice or 'VARIANT'}.NAME=1,2, train one several times."
        )
    for name in wished:
        find_variant(name, {})
    values: dict[str, dict[str, list[Any]]] = {name: {} for name in wished}
    for text in settings:
        variant, name, stated = _parsed(text, wished)
        if name in values[variant]:
            raise FaithfulError(f"--set states {variant}.{name} twice; give its values once, with commas between them.")
        values[variant][name] = stated
    return [
        (variant, dict(zip(stated, chosen, strict=True)))
        for variant, stated in values.items()
        for chosen in product(*stated.values())
    ]


def typed_settings(tables: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The settings that tables of variants state, as they are typed; a list makes a grid."""
    return tuple(
        f"{variant}.{name}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for variant, table in tables.items()
        for name, value in table.items()
    )


def _parsed(text: str, wished: Sequence[str]) -> tuple[str, str, list[Any]]:
    stated, equals, values = text.partition("=")
    variant, dot, name = stated.partition(".")
    if not (equals and dot and name):
        raise FaithfulError(f"'{text}' is no setting of a variant; write --set VARIANT.NAME=VALUE.")
    variant = variant.replace("_", "-")
    if variant not in wished:
        is_known = variant in variant_names()
        near = f" Add --variant {variant}." if is_known else did_you_mean(variant, wished)
        raise FaithfulError(f"'{text}' is of no variant of this grid, which has {', '.join(wished)}.{near}")
    found = [_value(value.strip()) for value in values.split(",")]
    return variant, name, list(dict.fromkeys(found))


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return WORDS.get(text.lower(), text)
