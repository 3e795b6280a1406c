"""Whoever reads the report by day, by night or on paper can read it: WCAG 2's contrast of 4.5 for every text."""

import re
from importlib import resources

import pytest

CSS = (resources.files("data_cards") / "report.css").read_text(encoding="utf-8")
TEMPLATE = (resources.files("data_cards") / "report.html.jinja").read_text(encoding="utf-8")
SCHEMES = {"light": "", "dark": "@media (prefers-color-scheme:dark){", "print": "@media print{"}
"""Before whose colours what stands in the sheet."""
MARK = re.search(r"rgba\(var\(--mark\),\{\{ '%.2f' \| format\(([\d.]+) \+ ([\d.]+) \* share\)", TEMPLATE)
Colour = tuple[float, float, float]


def colours(scheme: str) -> dict[str, str]:
    """The variables as they are in a scheme: those of the light one where it states no others."""
    found: dict[str, str] = {}
    for before in (SCHEMES["light"], SCHEMES[scheme]):
        start = CSS.index(":root{", CSS.index(before))
        found |= dict(re.findall(r"--(\w+):([^;}]+)", CSS[start : CSS.index("}", start)]))
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


def verdicts(scheme: str) -> dict[str, str]:
    """The colours of verdicts, which are no variables."""
    lines = [line for line in CSS.splitlines() if ".differs" in line]
    line = next(line for line in lines if line.startswith("@media") == (scheme == "dark"))
    return dict(re.findall(r"\.(\w+)\{color:(#\w+)\}", line))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    known = colours(scheme)
    texts = {name: known[name] for name in ("ink", "soft", "link")} | verdicts(scheme)
    assert len(texts) == 6
    for behind in ("page", "tint"):
        found = {name: round(contrast(rgb(text), rgb(known[behind])), 2) for name, text in texts.items()}
        assert min(found.values()) >= 4.5, (behind, found)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_strongest_token_can_be_read_on_its_mark(scheme: str) -> None:
    known = colours(scheme)
    mark = [int(part) / 255 for part in known["mark"].split(",")]
    page = rgb(known["page"])
    assert MARK
    least, more = map(float, MARK.groups())
    for share in (least, least + more / 2, least + more):
        behind = tuple(share * one + (1 - share) * other for one, other in zip(mark, page, strict=True))
        assert contrast(rgb(known["ink"]), behind) >= 4.5, share  # type: ignore[arg-type]
