"""Whoever reads the report or the browser's pages by day, by night or on paper can read them: WCAG 2's contrast of 4.5."""

import re
from importlib import resources

import pytest

SHEETS = {
    "report.css": ("ink", "soft", "link"),
    "browse.css": ("ink", "soft", "link", "text", "noise"),
}
"""Style sheets, each with its variables that text is in; verdicts have colours of their own."""
BEFORE = {"light": "", "dark": "@media (prefers-color-scheme:dark){", "print": "@media print{"}
"""Before whose colours what stands in the sheet."""
SCHEMES = [(sheet, scheme) for sheet in SHEETS for scheme in BEFORE if (sheet, scheme) != ("browse.css", "print")]
Colour = tuple[float, float, float]


def read(file: str) -> str:
    return (resources.files("data_cards") / file).read_text(encoding="utf-8")


def colours(sheet: str, scheme: str) -> dict[str, str]:
    """The variables as they are in a scheme: those of the light one where it states no others."""
    css, found = read(sheet), dict[str, str]()
    for before in (BEFORE["light"], BEFORE[scheme]):
        start = css.index(":root{", css.index(before))
        found |= dict(re.findall(r"--(\w+):([^;}]+)", css[start : css.index("}", start)]))
    return found


def rgb(colour: str) -> Colour:
    digits = colour.removeprefix("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    return tuple(int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))  # type: ignore[return-value]


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of the relative luminances."""

    def luminance(colour: Colour) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def verdicts(sheet: str, scheme: str) -> dict[str, str]:
    """The colours of verdicts, which are no variables."""
    lines = [line for line in read(sheet).splitlines() if ".differs" in line]
    of_scheme = [line for line in lines if line.startswith("@media") == (scheme == "dark")]
    return dict(re.findall(r"\.(\w+)\{color:(#\w+)\}", of_scheme[0])) if of_scheme else {}


@pytest.mark.parametrize(("sheet", "scheme"), SCHEMES)
def test_every_text_stands_out_from_what_is_behind_it(sheet: str, scheme: str) -> None:
    known = colours(sheet, scheme)
    texts = {name: known[name] for name in SHEETS[sheet]} | verdicts(sheet, scheme)
    assert len(texts) == (6 if sheet == "report.css" else 5)
    for behind in ("page", "tint"):
        found = {name: round(contrast(rgb(text), rgb(known[behind])), 2) for name, text in texts.items()}
        assert min(found.values()) >= 4.5, (behind, found)


NUMBER = r"([\d.]+)"
MARKS = {
    "report.css": (
        "report.html.jinja",
        rf"rgba\(var\(--mark\),\{{\{{ '%.2f' \| format\({NUMBER} \+ {NUMBER} \* share\)",
    ),
    "browse.css": ("browse.js", rf"rgba\(209,98,43,\$\{{\({NUMBER} \+ {NUMBER} \* share\)"),
}
"""Where the mark of a token is made, and of what: the opacity that all have, and what the strongest has beside."""
MARK = (209 / 255, 98 / 255, 43 / 255)


@pytest.mark.parametrize(("sheet", "scheme"), SCHEMES)
def test_the_strongest_token_can_be_read_on_its_mark(sheet: str, scheme: str) -> None:
    known = colours(sheet, scheme)
    assert known.get("mark", "209,98,43") == "209,98,43"
    page = rgb(known["page"])
    file, pattern = MARKS[sheet]
    found = re.search(pattern, read(file))
    assert found
    least, more = map(float, found.groups())
    for share in (least, least + more / 2, least + more):
        behind = tuple(share * one + (1 - share) * other for one, other in zip(MARK, page, strict=True))
        assert contrast(rgb(known["ink"]), behind) >= 4.5, share  # type: ignore[arg-type]
