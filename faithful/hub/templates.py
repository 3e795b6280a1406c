"""Cards and reports are filled in from templates; what people write in markdown is made safe for LaTeX and BibTeX."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from faithful.hub.card_file import cell


def render_template(name: str, **values: Any) -> str:
    """A template of `data_cards`, filled in; a value that it lacks is an error."""
    source = (resources.files("data_cards") / name).read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=False)
    environment.globals["bibtex"] = bibtex
    environment.filters["cell"] = cell
    return environment.from_string(source).render(**values)


def bibtex(title: str, place: str, tokens: str, model: Mapping[str, object]) -> str:
    """How to cite a corpus, in BibTeX: only what is known, so neither author nor year.

    Args:
        title: of its card.
        place: its folder or its id on the Hub.
        tokens: how many, in words.
        model: `name` and `revision`.
    """
    fields = {
        "title": latex(title),
        "howpublished": f"Data set {latex(place)}",
        "note": latex(f"{tokens} tokens for {model['name']} at {model['revision']}, made with faithful"),
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items()]
    return "\n".join([f"@misc{{{slug(title).strip('-')},", *lines, "}"])


def latex(text: str) -> str:
    """Text for LaTeX, its special characters escaped."""
    return re.sub(r"([#$%&_{}])", r"\\\1", text)


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower())
