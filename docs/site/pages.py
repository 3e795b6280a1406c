"""Pages of the documentation's site that are made when it is built: what lies beside docs/, every command, the Python API.

A hook of MkDocs (`make docs`). The commands are shown as `--help` prints them, which is written from their configurations.
"""

import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

TOP = Path(__file__).parents[2]
BESIDE = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
COLUMNS = "100"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made here."""
    made = {page: (TOP / source).read_text(encoding="utf-8") for page, source in BESIDE.items()}
    made |= {"commands.md": commands(), "python.md": python()}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links as they are within the site: its pages lie in one folder, those beside docs/ among them."""
    for page, source in BESIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({page}", markdown)
    return markdown.replace("](docs/", "](").replace("[docs/", "[")


def on_post_build(config: Any) -> None:
    """The index of the search as a script too, which a page that was opened from the disk asks for."""
    folder = Path(config["site_dir"]) / "search"
    index = (folder / "search_index.json").read_text(encoding="utf-8")
    (folder / "search_index.js").write_text(f"var __index = {index};\n", encoding="utf-8")


def commands() -> str:
    """Every command with its help, as Markdown."""
    from typer.main import get_command

    from faithful.cli import app

    parts = ["# Commands", "As `faithful COMMAND --help` prints it."]
    open_commands = [("faithful", get_command(app))]
    while open_commands:
        name, command = open_commands.pop(0)
        parts += [f"## `{name}`", f"```text\n{_help(name)}\n```"]
        inner: Any = command
        if hasattr(inner, "list_commands"):
            open_commands += [(f"{name} {one}", inner.get_command(None, one)) for one in inner.list_commands(None)]
    return "\n\n".join(parts) + "\n"


def _help(name: str) -> str:
    from typer.testing import CliRunner

    from faithful.cli import app

    os.environ |= {"COLUMNS": COLUMNS, "TERMINAL_WIDTH": COLUMNS, "NO_COLOR": "1"}
    found = CliRunner().invoke(app, [*name.split()[1:], "--help"])
    if found.exit_code:
        raise RuntimeError(f"{name} --help: {found.output}")
    return "\n".join(line.rstrip() for line in found.output.strip().splitlines())


def python() -> str:
    """Everything that `import faithful` gives, each from where it is written, as Markdown."""
    import faithful

    parts = [
        "# Python",
        "What `import faithful` gives. Functions have the names of commands, and `Config`s their options.",
    ]
    for name in faithful.__all__:
        home = faithful._HOMES[name]
        if not hasattr(import_module(home), name):
            raise RuntimeError(f"faithful.{name} is not in {home}")
        parts.append(f"::: {home}.{name}")
    return "\n\n".join(parts) + "\n"
