"""The command line: parse, call, print. `faithful --help` imports nothing heavy."""

import typer

from faithful.cli import (
    add,
    corpus,
    derive,
    generate,
    machine,
    publish,
    recipe,
    sae_studies,
    sources_list,
    study,
    train,
)

app = typer.Typer(
    name="faithful",
    help="Does the text you train a sparse autoencoder on decide what you find?\n\n"
    "Sample a corpus from a language model itself and certify it, train TopK SAEs on it and on other text, compare them over"
    " seeds, report, and publish. `faithful run demo` does it all on the embedded model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
generate.register(app)
add.register(corpus.app)
sources_list.register(corpus.app)
derive.register(corpus.app)
app.add_typer(corpus.app, name="corpus")
train.register(app)
sae_studies.register(study.app)
app.add_typer(study.app, name="study")
recipe.register(app)
publish.register(app)
machine.register(app)


def main() -> None:
    """Entry point of the `faithful` command."""
    app()
