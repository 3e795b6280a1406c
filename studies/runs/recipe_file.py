"""Recipes: a whole run as one TOML file (model, corpora, SAEs, studies), read and checked before work starts."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

from faithful.base.errors import FaithfulError
from faithful.base.records import read_toml
from faithful.base.shapes import shown
from faithful.base.suggest import did_you_mean
from faithful.models.presets import Preset, find_preset
from faithful.options.fields import Option, options_of
from faithful.options.kinds import KINDS
from faithful.options.marks import COUNT
from faithful.options.values import read_value, read_values
from studies.catalog import find_study

SOURCES = ("add", "like", "mix", "dedup", "shuffle")
NOT_STATED = {
    "out", "run", "model", "folder", "name", "saes", "corpora", "folders", "own", "seeds",
}  # fmt: skip
GRID = ("variant", "settings")
"""Options of `faithful train` that a recipe states as tables of variants."""
LEAST_SEEDS = 6
FOLDER = re.compile(r"(?!\.)[^\x00-\x1f\x7f/]{1,200}")


@dataclass(frozen=True)
class CorpusPlan:
    """One corpus of a run.

    Attributes:
        name: of its folder.
        how: `generate`, `add` (external text), `like` (a part of a corpus with the lengths of another), `mix`, `dedup` or
            `shuffle`.
        source: what is added; '' for the others.
        inputs: corpora of the recipe that it is made from; for `like` the one that is cut, then the one with the lengths.
        train: whether SAEs are trained on it.
        options: further settings of the command that makes it.
    """

    name: str
    how: str
    source: str = ""
    inputs: tuple[str, ...] = ()
    train: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def made_from(self) -> dict[str, str | tuple[str, ...]]:
        """What a recipe states of it: `{"like": "web", "of": "own"}`."""
        if self.how == "like":
            return {"like": self.inputs[1], "of": self.inputs[0]}
        if self.how == "generate":
            return {}
        return {self.how: self.source if self.how == "add" else self.inputs if self.how == "mix" else self.inputs[0]}


@dataclass(frozen=True)
class Recipe:
    """A run.

    Attributes:
        name: of the run's folder, unless another is given.
        model: preset name, Hub id or folder.
        seeds: init seeds of the SAEs.
        tokens: stored tokens per corpus, for training and for every corpus that states none of its own.
        corpora: in the order they are made.
        train: settings of `TrainConfig`.
        variants: settings of each variant that is trained, a list where it is trained several times; none: TopK alone.
        studies: settings of each study, in the order they are done.
    """

    name: str
    model: str
    seeds: tuple[int, ...]
    tokens: int | None
    corpora: tuple[CorpusPlan, ...]
    train: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def preset(self) -> Preset | None:
        """Settings of its model, where that is one of those that have a short name."""
        return find_preset(self.model)

    @property
    def grid(self) -> dict[str, Any]:
        """The variants, as `TrainConfig` states them."""
        from faithful.training.variants import typed_settings

        return {"variant": tuple(self.variants), "settings": typed_settings(self.variants)} if self.variants else {}

    @property
    def training_tokens(self) -> int | None:
        """Stored tokens of each corpus that SAEs are to be trained on, None where that is left to the training."""
        return self.train.get("tokens") or (None if "epochs" in self.train else self.tokens)

    def plan(self, name: str) -> CorpusPlan:
        """One of its corpora."""
        return next(corpus for corpus in self.corpora if corpus.name == name)

    def is_freed(self, corpus: CorpusPlan) -> bool:
        """Whether duplicates were removed from a corpus, or from one it is made of: how much is left is not known before."""
        taken = corpus.inputs[:1] if corpus.how == "like" else corpus.inputs
        return corpus.how == "dedup" or any(self.is_freed(self.plan(name)) for name in taken)

    def most(self, corpus: CorpusPlan) -> int | None:
        """Training tokens that a corpus holds at most, beside the rest of its last document; None for no limit."""
        if corpus.how in ("shuffle", "dedup"):
            return self.most(self.plan(corpus.inputs[0]))
        return corpus.options.get("tokens") or (None if self.is_freed(corpus) else self.tokens)


def shipped_recipes() -> dict[str, Path]:
    """Recipes of this package by name."""
    folder = Path(str(resources.files("studies.runs") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        source: name of a shipped recipe, or a file.
        changes: values by dotted name that replace the file's: `{"train.d_sae": "512", "corpora.own.tokens": "20k"}`. A
            corpus that the file has not is added where they state what it is made from.

    Raises:
        FaithfulError: no such recipe, TOML that cannot be read, names or values that are not known, fewer than two
            corpora or a corpus made from one that is not there.
    """
    shipped = shipped_recipes()
    path = shipped.get(str(source), Path(source))
    if not path.exists():
        near = did_you_mean(str(source), shipped)
        raise FaithfulError(f"There is no recipe '{source}'; name a file, or one of {', '.join(shipped)}.{near}")
    table = read_toml(path, "it is no recipe, so mend it or name another")
    corpora = list(_table(table.get("corpora", {}), "corpora"))
    for name, value in (changes or {}).items():
        _change(table, _parts(name, corpora), name, value)
    for name, corpus in _tables(table.get("corpora", {}), "corpora").items():
        if name not in corpora and not set(SOURCES) & corpus.keys():
            raise FaithfulError(
                f"The recipe has no corpus '{name}', but {', '.join(corpora) or 'none'}; to add one, state what it is made"
                f" from, as corpora.{name}.add=prose, or write it into the file.{did_you_mean(name, corpora)}"
            )
    return parse_recipe(table, path.stem)


def parse_recipe(table: dict[str, Any], name: str) -> Recipe:
    """A recipe from a table as TOML gives it.

    Raises:
        FaithfulError: see `load_recipe`.
    """
    from faithful.training.config import TrainConfig

    unknown = sorted(set(table) - {field.name for field in fields(Recipe)})
    if unknown:
        raise FaithfulError(f"The recipe '{name}' states '{unknown[0]}', which is not known; leave it out.")
    if not table.get("model"):
        raise FaithfulError(f"The recipe '{name}' names no model; add `model = \"…\"`.")
    for key in ("name", "model"):
        _expect_text(table.get(key, ""), key)
    if not FOLDER.fullmatch(str(table.get("name", "run"))):
        raise FaithfulError(f"The recipe's name {shown(table['name'])} cannot be a folder; choose a plain one.")
    seeds = read_value(KINDS[tuple[int, ...]], table.get("seeds", "0-5"), "seeds = ")
    tokens = read_value(KINDS[COUNT], table["tokens"], "tokens = ") if "tokens" in table else None
    corpora = tuple(_corpus(key, value) for key, value in _tables(table.get("corpora", {}), "corpora").items())
    there: set[str] = set()
    for corpus in corpora:
        for needed in corpus.inputs:
            if needed not in there:
                raise FaithfulError(f"The corpus '{corpus.name}' is made from '{needed}', which must stand before it.")
        there.add(corpus.name)
    if not any(corpus.train for corpus in corpora):
        raise FaithfulError(f"The recipe '{name}' trains on no corpus; add one as `[corpora.own]`.")
    return Recipe(
        name=str(table.get("name", name)),
        model=str(table["model"]),
        seeds=seeds,
        tokens=tokens,
        corpora=corpora,
        train=read_values(
            [option for option in settings_of(TrainConfig) if option.name not in GRID],
            _table(table.get("train", {}), "train"),
            "train",
        ),
        variants=_variants(_tables(table.get("variants", {}), "variants")),
        studies={
            key: read_values(settings_of(find_study(key).config), value, f"studies.{key}")
            for key, value in _tables(table.get("studies", {}), "studies").items()
        },
    )


def settings_of(config: Any) -> list[Option]:
    """Fields of a configuration that a recipe may state."""
    return [option for option in options_of(config) if option.name not in NOT_STATED]


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `load_recipe` reads; what is left to the preset stands in a comment."""
    lines = [f"{name} = {literal(getattr(recipe, name))}" for name in ("name", "model")]
    lines.append(f'seeds = "{",".join(map(str, recipe.seeds))}"')
    if recipe.tokens is not None:
        lines.append(f"tokens = {recipe.tokens}")
    for corpus in recipe.corpora:
        lines += ["", f"[corpora.{_key(corpus.name)}]"]
        lines += _lines(corpus.made_from())
        if not corpus.train:
            lines.append("train = false")
        lines += _lines(corpus.options)
    lines += ["", "[train]", *_lines(recipe.train), *_of_preset(recipe)]
    for where, tables in (("variants", recipe.variants), ("studies", recipe.studies)):
        for name, values in tables.items():
            lines += ["", f"[{where}.{name}]", *_lines(values)]
    return "\n".join(lines) + "\n"


def _of_preset(recipe: Recipe) -> list[str]:
    """A comment with the settings of the SAEs that the recipe does not state."""
    preset = recipe.preset
    if preset is None:
        return []
    stated = recipe.train | ({} if recipe.tokens is None else {"tokens": recipe.tokens})
    names = ("layer", "d_sae", "k", "lr", "context", "tokens")
    values = {name: str(getattr(preset, name)) for name in names if name not in stated}
    if "lr" in values and "d_sae" in stated:
        values["lr"] += f" × √({preset.d_sae} / d_sae)"
    return (
        [f"# by the preset {preset.name}: {', '.join(f'{name} = {value}' for name, value in values.items())}"]
        if values
        else []
    )


def _table(value: Any, where: str) -> dict[str, Any]:
    """A table's copy.

    Raises:
        FaithfulError: it is none.
    """
    if not isinstance(value, Mapping):
        raise FaithfulError(f"'{where}' is a table and cannot be {value!r}; state its settings: {where}.NAME = VALUE.")
    return dict(value)


def _tables(value: Any, where: str) -> dict[str, dict[str, Any]]:
    """A table of tables."""
    return {name: _table(inner, f"{where}.{name}") for name, inner in _table(value, where).items()}


def _variants(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The tables, if they name variants and settings that there are."""
    from faithful.training.variants import typed_settings, variants_of

    if tables:
        variants_of(tuple(tables), typed_settings(tables))
    return tables


def _corpus(name: str, table: dict[str, Any]) -> CorpusPlan:
    from generation.configs.add import AddConfig
    from generation.configs.derive import DedupConfig, MixConfig, ShuffleConfig, SubsampleConfig
    from generation.configs.generate import GenerateConfig

    configs: dict[str, type[Any]] = {
        "generate": GenerateConfig,
        "add": AddConfig,
        "like": SubsampleConfig,
        "mix": MixConfig,
        "dedup": DedupConfig,
        "shuffle": ShuffleConfig,
    }
    stated = [how for how in SOURCES if how in table]
    if len(stated) > 1:
        raise FaithfulError(f"The corpus '{name}' states {' and '.join(stated)}; keep one.")
    how = stated[0] if stated else "generate"
    if "of" in table and how != "like":
        raise FaithfulError(f"The corpus '{name}' states of, which says what `like` takes its part of; leave it out.")
    made_of, of = table.pop(how, ""), table.pop("of", "")
    train = read_value(KINDS[bool], table.pop("train", True), f"corpora.{name}.train = ")
    listed = made_of if how == "mix" and isinstance(made_of, list) else [made_of]
    for key, value in (*((how, entry) for entry in listed), ("of", of)):
        _expect_text(value, f"corpora.{name}.{key}")
    if not FOLDER.fullmatch(name):
        raise FaithfulError(f"The corpus {shown(name)} cannot be a folder; choose a plain name, like own or web-2.")
    mixed = tuple(part.strip() for entry in listed for part in entry.split(","))
    inputs = {"generate": (), "add": (), "like": (of or "own", made_of), "mix": mixed}.get(how, (made_of,))
    source = made_of if how == "add" else ""
    options = read_values(settings_of(configs[how]), table, f"corpora.{name}")
    return CorpusPlan(name, how, source, inputs, train, options)


def _expect_text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise FaithfulError(f"{where} cannot be {shown(value)}; give text.")


def _parts(name: str, corpora: Sequence[str]) -> list[str]:
    """A dotted name taken apart; a corpus' own name may have dots in it."""
    named = max((one for one in corpora if name.startswith(f"corpora.{one}.")), key=len, default=None)
    if named is None:
        return name.split(".")
    return ["corpora", named, *name.removeprefix(f"corpora.{named}.").split(".")]


def _change(table: dict[str, Any], parts: Sequence[str], name: str, value: Any) -> None:
    *above, last = parts
    for part in above:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise FaithfulError(f"'{name}' does not name a setting of a recipe; write it like train.d_sae.")
    table[last] = value


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {literal(value)}" for name, value in values.items()]


def literal(value: Any) -> str:
    """TOML of a plain value; JSON writes strings, numbers, booleans and lists as TOML does."""
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)
