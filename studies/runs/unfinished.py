"""What of a run or a grid of SAEs is still to be done, so that a half is never published as the whole."""

from pathlib import Path

from faithful.base.errors import FaithfulError
from faithful.formats.files import CONFIG, WEIGHTS
from faithful.options.kinds import as_place
from faithful.options.line import command_line
from faithful.store.corpora_of_saes import NAME, noted_corpora
from faithful.store.places import read_steps
from faithful.store.saes import TrainedSae, is_hidden
from studies.report.config import RunConfig


def refuse_unfinished_run(run: Path) -> None:
    """Refuse a run whose recipe has steps that were not done; one without a recipe has none.

    Raises:
        FaithfulError: there are some, or its recipe cannot be read.
    """
    left = _steps_left(run)
    if left:
        again = command_line(RunConfig, recipe=run / "recipe.toml", run=as_place(run))
        raise FaithfulError(f"{run} is not finished: {', '.join(left)} still to do; run `{again}`, then publish it.")


def refuse_unfinished_grid(folder: Path, cells: list[TrainedSae]) -> None:
    """Refuse a grid, or a part of one, where a training was begun and not brought to its end.

    Args:
        folder: the grid, or the part of it.
        cells: its finished SAEs, by their place below the folder.

    Raises:
        FaithfulError: a checkpoint of SAEs that are not there, weights without their cfg.json, or a corpus without SAEs.
    """
    found = _half_trained(folder)
    halves = [path.parent for path in sorted(folder.rglob(WEIGHTS)) if not (path.parent / CONFIG).exists()]
    found += [f"{path.relative_to(folder)} has no {CONFIG}" for path in halves if not is_hidden(path, folder)]
    begun = {cell.place.split("/")[0] for cell in cells}
    found += [f"no SAE of {name}, which {NAME} names" for name in noted_corpora(folder) if name not in begun]
    if (folder.parent / "recipe.toml").is_file() and "train" in _steps_left(folder.parent):
        found.append("the recipe's `train` is still to do")
    if found:
        raise FaithfulError(
            f"{folder} is not finished: {'; '.join(found[:4])}; run the command that trains it again, or take away what it"
            " left there, then publish it."
        )


def _steps_left(run: Path) -> list[str]:
    """Steps of a run's recipe that are not done."""
    if not (run / "recipe.toml").is_file():
        return []
    from studies.runs.recipe import steps_of
    from studies.runs.recipe_file import load_recipe
    from studies.runs.refusals import RESOLVED

    done = read_steps(run)
    return [step.name for step in steps_of(load_recipe(run / RESOLVED), run) if step.name not in done]


def _half_trained(folder: Path) -> list[str]:
    """Checkpoints below a folder that hold SAEs which are not finished and can still be."""
    from faithful.training.checkpoint import FOLDER, load_checkpoint

    found = []
    for path in sorted(folder.rglob(f"{FOLDER}/*.pt")):
        state = load_checkpoint(path, tensors=False)
        alive = [place for cell, place in state["cells"].items() if cell not in state["diverged"]]
        count = sum(not (path.parent.parent / place / CONFIG).exists() for place in alive)
        if count:
            found.append(f"{count} half-trained SAEs in {path.relative_to(folder)}")
    return found
