"""What several commands have besides their configuration."""

import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")]
Assume = Annotated[
    str | None,
    typer.Option(help="With --dry-run: forecast for this GPU, h100, h200, a100, l40s, 4090 or 3090, whatever is here."),
]
Where = Annotated[str, typer.Option("--executor", help="Where work is done: local, or ray, on a cluster.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray", help="Of --executor ray: HOST:PORT of the head, or auto; by default a cluster is started here."
    ),
]
Part = Annotated[
    str | None,
    typer.Option("--part", help="Do one part of the work, 3/16; the parts 0/16 to 15/16 are all of it."),
]
Run = Annotated[str | None, typer.Option(help="Run to take from what is not named, and to write to.")]
RunOfCorpora = Annotated[
    str | None, typer.Option("--run", help="Run to take the corpora from, where none is named.", show_default=False)
]


def lazy(adding: str) -> type[TyperGroup]:
    """The class of a group whose commands are there when one of them is asked for, and not for the help above it.

    Args:
        adding: function that adds them to the app that it is given, as `package.module:function`.
    """

    class Lazy(TyperGroup):
        """The group."""

        def list_commands(self, ctx: Any) -> list[str]:
            """Names of its commands."""
            if not self.commands:
                app = typer.Typer()
                module, _, function = adding.partition(":")
                getattr(import_module(module), function)(app)
                self.commands.update(typer.main.get_group(app).commands)
            return super().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """One of them."""
            self.list_commands(ctx)
            return super().get_command(ctx, cmd_name)

    return Lazy


def refuse_executor(executor: str, address: str | None) -> None:
    """Refuse what `--executor` and `--ray` cannot say, also before a dry run.

    Raises:
        FaithfulError: neither `local` nor `ray`, or an address without `--executor ray`.
    """
    from faithful.base.errors import FaithfulError

    if executor not in ("local", "ray"):
        raise FaithfulError(f"'{executor}' is no executor; choose local or ray.")
    if address and executor != "ray":
        raise FaithfulError("--ray is the address of a cluster; add --executor ray.")


@contextmanager
def working(executor: str, address: str | None) -> Iterator[None]:
    """Have work done where `--executor` and `--ray` say.

    Raises:
        FaithfulError: see `refuse_executor`, or no such cluster.
    """
    refuse_executor(executor, address)
    if executor == "local":
        yield
        return
    from faithful.executor.ray_cluster import on_ray

    with on_ray(address):
        yield


def refuse_both(named: object, run: str | None) -> None:
    """Refuse corpora that are named, and a run to take them from.

    Raises:
        FaithfulError: both are stated.
    """
    from faithful.base.errors import FaithfulError

    if named and run:
        raise FaithfulError("--run is for corpora that are not named, and some are; leave out the one or the other.")


def on_executor(executor: str, address: str | None) -> str:
    """What a command line says of the executor that it was told; nothing of the usual one."""
    where = f" --ray {shlex.quote(address)}" if address else ""
    return "" if executor == "local" else f" --executor {executor}{where}"


def gpus_of(config: Any, assume: str | None = None) -> int:
    """GPUs that a job is to have: one for each worker; all of this machine, two at least, where it spreads the model.

    Args:
        config: of the command.
        assume: a GPU that is forecast for, whatever is here.
    """
    from faithful.base.devices import known_device
    from faithful.executor.where import current_place

    if not assume and known_device(getattr(config, "device", "cpu")) == "cpu":
        return 0
    return max(2, current_place().gpus()) if getattr(config, "shard_model", False) else config.workers or 1


def array_line(command: str, part: Any, gpus: int, seconds: float | None = None) -> str:
    """The line for SLURM that does all parts.

    Args:
        command: does all of the work; with `--part` one part.
        part: any of them.
        gpus: of a job.
        seconds: that a job is forecast to take; it is given twice that, and ten minutes. None where that is not known.
    """
    gpu = f" --gpus={gpus}" if gpus else ""
    time = "" if seconds is None else f" --time={math.ceil(seconds / 30) + 10}"
    wrapped = shlex.quote(f"{command} --part $SLURM_ARRAY_TASK_ID/{part.of}")
    return f"sbatch --array=0-{part.of - 1}{gpu}{time} --wrap {wrapped}"


def refuse_assumptions(assume: str | None, dry_run: bool) -> None:
    """Refuse an assumed GPU for real work, and one that is not known.

    Raises:
        FaithfulError: either.
    """
    if assume is None:
        return
    from faithful.base.errors import FaithfulError
    from faithful.base.gpus import known_gpu

    known_gpu(assume)
    if not dry_run:
        raise FaithfulError("--assume is for forecasts; add --dry-run, or leave it out.")
