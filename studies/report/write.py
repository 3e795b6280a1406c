"""`faithful report`: everything a run found on one page that needs nothing else, as HTML or Markdown.

It reads the run's folder alone and loads no model. What a study's summary.json may hold for it beside the statistics:
`sizes` (what was used, by name), `examples` (see `studies.common.examples`), `controls` (parts of the own corpus that are
there to check a comparison), `missing_corpora` (those whose text was not found), and SVG figures in its folder `figures`.
"""

import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from faithful.base.files import write_text
from faithful.base.quantities import check_stated
from studies.report import parts
from studies.report import reproduce as again
from studies.report.answer import answer
from studies.report.config import ReportConfig
from studies.report.examples import Example
from studies.report.found import RunFound, read_run
from studies.report.svg import inline_svg
from studies.report.words import NAMES

NUMERIC = re.compile(r"^[<+−–-]?\s?\d|^–$")


def write_report(config: ReportConfig) -> Path:
    """Write the report of a run; studies that are missing are named in it.

    Returns:
        the file.

    Raises:
        FaithfulError: no such run, nothing in it, or a file of it that cannot be read.
    """
    check_stated(config)
    run = read_run(config.run)
    out = config.out or config.run / ("report.md" if config.markdown else "report.html")
    if config.markdown:
        folder = out.parent / f"{out.stem}_figures"
        write_text(out, _render("report.md.jinja", _content(run, folder, config), _linker(config.run, out, folder)))
    else:
        with tempfile.TemporaryDirectory() as drawn:
            write_text(out, _render("report.html.jinja", _content(run, Path(drawn), config), _inliner()))
    return out


def _render(template: str, content: dict[str, object], show: Callable[[parts.Picture], str]) -> str:
    """Fill in a template.

    Args:
        template: file in `data_cards`.
        content: what to report.
        show: a figure as the format wants it.
    """
    import jinja2

    html = template.endswith(".html.jinja")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=html, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "cell": _markdown_cell,
        "marked": _marked,
        "numeric": lambda text: bool(NUMERIC.match(text)),
    }
    environment.globals["show"] = show
    source = (resources.files("data_cards") / template).read_text(encoding="utf-8")
    css = (resources.files("data_cards") / "report.css").read_text(encoding="utf-8") if html else ""
    return environment.from_string(source).render(css=_safe(css), **content)


def _content(run: RunFound, folder: Path, config: ReportConfig) -> dict[str, object]:
    """What the templates show; the report's own figures are drawn in `folder`."""
    studies, answered = parts.study_parts(run), answer(run)
    if config.no_text:
        studies = [replace(study, examples=[]) for study in studies]
    return {
        "title": answered.question if run.of_truths else f"{run.model['name']}: {answered.question}",
        "answer": answered,
        "names": NAMES,
        "overview": parts.overview(run),
        "studies": studies,
        "corpora": parts.corpora_table(run),
        "samples": [] if config.no_text else parts.samples(run),
        "saes": parts.saes_table(run),
        "pictures": parts.run_pictures(run, folder),
        "positions": parts.position_notes(run),
        "sizes": again.sizes_table(run),
        "provenance": again.provenance_table(run),
        "steps": again.steps_table(run),
        "commands": again.commands(run),
        "recipe": run.recipe,
    }


def _inliner() -> Callable[[parts.Picture], str]:
    """Figures as elements of the page, each with ids of its own."""
    shown = 0

    def show(picture: parts.Picture) -> str:
        nonlocal shown
        shown += 1
        return _safe(inline_svg(picture.path, f"f{shown}-", picture.title))

    return show


def _linker(run: Path, out: Path, folder: Path) -> Callable[[parts.Picture], str]:
    """Figures as links relative to the report; where that lies outside the run, they are copied to the folder beside it."""

    def show(picture: parts.Picture) -> str:
        path = picture.path
        if not out.resolve().is_relative_to(run.resolve()) and path.parent != folder:
            path = folder / f"{path.parent.parent.name}-{path.name}"
            write_text(path, picture.path.read_text(encoding="utf-8"))
        return quote(Path(os.path.relpath(path, out.parent)).as_posix())

    return show


def _safe(text: str) -> Any:
    """HTML as it stands: our own CSS, and figures that `inline_svg` has cleaned."""
    from markupsafe import Markup

    return Markup(text)


def _markdown_cell(text: str) -> str:
    """Text of data within Markdown: no HTML, no table borders, one line."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")
    return re.sub(r"([*_`\[\]])", r"\\\1", escaped)


def _marked(example: Example) -> str:
    """A context with its strongest tokens in brackets, for a block of code."""
    text = "".join(f"⟦{token}⟧" if share > 0.5 else token for token, share, _ in example.tokens)
    return text.replace("```", "ʼʼʼ")
