"""What a recipe may not be: settings that a step would refuse hours later, too little text, another run's."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faithful.base.devices import check_device, known_device
from faithful.base.errors import FaithfulError
from faithful.base.quantities import check_stated
from faithful.base.records import read_toml
from faithful.executor.where import current_place
from faithful.models.presets import find_preset
from faithful.store.places import read_steps
from faithful.training.config import TrainConfig
from faithful.training.loggers import require_logger
from faithful.training.settings import refuse_impossible
from generation.configs.add import AddConfig
from generation.configs.generate import GenerateConfig
from generation.own.prepare import refuse_bad_counts, stated_sampling
from generation.sources.resolve import find_entry, resolve_source
from studies.runs.recipe_file import Recipe, literal, to_toml

RESOLVED = "recipe.toml"


def refuse_settings(config: Any, elsewhere: bool = False) -> None:
    """Refuse what a step would refuse for its settings, or for a device or a package of texts that is not here.

    Args:
        config: what the step is told.
        elsewhere: whether it is asked for another machine, so that no device need be here.

    Raises:
        FaithfulError: see there.
    """
    is_handed_out = isinstance(config, GenerateConfig | TrainConfig)
    check = known_device if elsewhere else current_place().check_device if is_handed_out else check_device
    check(getattr(config, "device", None))
    if dataclasses.is_dataclass(config):
        check_stated(config)
    if isinstance(config, GenerateConfig):
        refuse_bad_counts(config)
        preset = find_preset(config.model or "")
        stated_sampling(config, config.model or "", preset.shape.positions if preset else 0)
    if isinstance(config, TrainConfig):
        require_logger(config.log)
        refuse_impossible(config, find_preset(config.model or ""))
    if isinstance(config, AddConfig):
        entry = find_entry(config.name)
        if entry and entry.kind == "package":
            resolve_source(entry.name)


def refuse_short(recipe: Recipe) -> None:
    """Refuse corpora that hold less than what is to be made of them, or trained on them, before anything is made.

    Raises:
        FaithfulError: there is one; names it.
    """
    wanted = [
        (corpus.name, recipe.training_tokens, "SAEs are to be trained on") for corpus in recipe.corpora if corpus.train
    ]
    for corpus in recipe.corpora:
        if corpus.how == "like":
            wanted.append((corpus.inputs[0], recipe.most(corpus), f"{corpus.name} is to take"))
    for name, tokens, what in wanted:
        most = recipe.most(recipe.plan(name))
        if tokens and most and most < tokens:
            raise FaithfulError(
                f"The corpus '{name}' is to hold {most:,} tokens at most, and {what} {tokens:,} of it; state more tokens for"
                " it or what it is made of, or fewer there."
            )


def refuse_other_recipe(recipe: Recipe, folder: Path) -> None:
    """Refuse a folder that holds a run of another recipe: once a step was done, a changed recipe wants another folder.

    Raises:
        FaithfulError: it does, or its recipe cannot be read.
    """
    path = folder / RESOLVED
    if not (path.exists() and read_steps(folder)):
        return
    before = _settings(read_toml(path, "delete it to go on with what fits"))
    now = _settings(tomllib.loads(to_toml(recipe)))
    if before == now:
        return
    new, gone = ([one for one in some if one not in others] for some, others in ((now, before), (before, now)))
    what = f"{'; '.join((new or gone)[:4])} is {'new or changed' if new else 'gone'}"
    if not (new or gone):
        what = "the order of its tables is another"
    raise FaithfulError(
        f"{folder} is a run of another recipe ({what}); give another --run, or delete {path} to go on with what fits."
    )


def _settings(table: Mapping[str, Any], above: str = "") -> list[str]:
    """What a recipe states, in its order: `corpora.own.tokens = 20000`, before it `[corpora.own]`."""
    tables = {name: value for name, value in table.items() if isinstance(value, dict)}
    found = [f"[{above.rstrip('.')}]"] if above and not tables else []
    found += [f"{above}{name} = {literal(value)}" for name, value in table.items() if name not in tables]
    return found + [one for name, inner in tables.items() for one in _settings(inner, f"{above}{name}.")]
