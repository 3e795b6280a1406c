"""The command line: parse, call, print. `faithful --help` imports nothing heavy."""

from typing import Annotated

import typer

from faithful.cli import generate, machine, run, study, train
from faithful.cli.shared import lazy


def _version(wanted: bool) -> None:
    if wanted:
        from faithful.base.version import __version__

        typer.echo(f"faithful {__version__}")
        raise typer.Exit


PANELS = {
    "Start": ("run", "doctor", "models"),
    "Corpora": ("generate", "corpus"),
    "SAEs": ("train", "study", "evaluate", "explain"),
    "Results": ("report", "browse", "export", "publish"),
}
"""Under which headings the help lists the commands."""
GROUPS = {
    "corpus": ("faithful.cli.corpus:register", "Add, derive, describe, certify and export corpora."),
    "study": ("faithful.cli.study:studies", "Compare corpora, and the SAEs trained on them."),
    "evaluate": (
        "faithful.cli.evaluate:register",
        "Other packages' evaluations of SAEs, in an environment of their own.",
    ),
    "export": ("faithful.cli.publish:exports", "Write files of latents for others' tools."),
    "publish": (
        "faithful.cli.publish:register",
        "Publish corpora, SAEs and runs on the Hugging Face Hub, and latents at Neuronpedia.",
    ),
}
"""Commands of two words by the first: what adds them once one is asked for, and the help."""
app = typer.Typer(
    name="faithful",
    help="Does the text you train a sparse autoencoder on decide what you find?\n\n"
    "Sample a corpus from a language model itself and certify it, train TopK SAEs on it and on other text, compare them over"
    " seeds, report, and publish. `faithful run demo` does it all on the embedded model.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def faithful(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What stands before a command; without one, the help."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


for module in (generate, train, study, run, machine):
    module.register(app)
for name, (adding, text) in GROUPS.items():
    app.add_typer(typer.Typer(cls=lazy(adding), help=text, no_args_is_help=True), name=name)
app.registered_commands.sort(
    key=lambda info: [name for names in PANELS.values() for name in names].index(str(info.name))
)
for command in app.registered_commands:
    command.rich_help_panel = next(panel for panel, names in PANELS.items() if command.name in names)
for group in app.registered_groups:
    group.rich_help_panel = next(panel for panel, names in PANELS.items() if group.name in names)
