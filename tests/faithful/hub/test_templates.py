"""Templates filled in, and text made safe for LaTeX and BibTeX."""

import jinja2
import pytest

from faithful.hub.templates import bibtex, latex, render_template, slug


def test_what_a_template_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_template("saes.md.jinja", title="x")


def test_special_characters_are_escaped() -> None:
    assert latex("a_b & 50 % {#}$") == r"a\_b \& 50 \% \{\#\}\$"
    assert slug("Own text, T 0.7!") == "own-text-t-0.7-"


def test_a_citation_says_what_is_known() -> None:
    text = bibtex("Own text!", "me/own_text", "20k", {"name": "tiny", "revision": "abc"})
    assert text.splitlines() == [
        "@misc{own-text,",
        "  title = {Own text!},",
        r"  howpublished = {Data set me/own\_text},",
        "  note = {20k tokens for tiny at abc, made with faithful},",
        "}",
    ]
