"""SVG figures inside a page: ids of their own, and nothing that runs or fetches."""

import re
from pathlib import Path
from xml.etree import ElementTree

from faithful.base.errors import FaithfulError

ALLOWED = {
    "svg", "g", "defs", "use", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan",
    "image", "clipPath", "linearGradient", "radialGradient", "stop", "pattern", "mask", "marker", "symbol", "title",
    "desc",
}  # fmt: skip
REFERENCE = re.compile(r"url\(\s*['\"]?#")
LEAST_WIDTH = 540
WIDEST = 100_000
DEEPEST = 100
PICTURE = re.compile(r"data:image/(png|jpeg);base64,")


def inline_svg(path: Path, prefix: str, title: str) -> str:
    """An SVG file as an element of a page.

    Elements and attributes that could run or fetch something are left out; ids get `prefix`, so that figures of one page
    do not take each other's.

    Args:
        path: of the file.
        prefix: of the ids, unique in the page.
        title: what a screen reader says.

    Raises:
        FaithfulError: it is no SVG.
    """
    try:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        _clean(root, prefix)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise FaithfulError(f"Cannot read {path}: {error}; delete it and run the study again.") from error
    if _local(root.tag) != "svg":
        raise FaithfulError(f"{path} is no SVG figure; delete it and run the study again.")
    width = _width(root.get("viewBox", ""))
    for name in ("width", "height", "version", "style"):
        root.attrib.pop(name, None)
    if width is None:
        raise FaithfulError(f"{path} states no size that a page has room for; delete it and run the study again.")
    if width:
        root.set("style", f"width:{width}px;min-width:min({width}px,{LEAST_WIDTH}px)")
    root.set("role", "img")
    root.set("aria-label", title)
    return ElementTree.tostring(root, encoding="unicode")


def _width(view_box: str) -> int | None:
    """Width of a figure in pixels by its view box: 0 where it states none, None where that is no size."""
    if not view_box.strip():
        return 0
    try:
        _, _, width, height = map(float, re.split(r"[\s,]+", view_box.strip()))
    except ValueError:
        return None
    return round(width * 4 / 3) if 0 < width <= WIDEST and 0 < height <= WIDEST else None


def _clean(element: ElementTree.Element, prefix: str, depth: int = 0) -> None:
    """Keep what draws, without namespaces, with ids and references to them prefixed."""
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    element.tag = _local(element.tag)
    kept = {}
    for name, value in element.attrib.items():
        name = _local(name)
        if name == "id":
            kept[name] = prefix + value
        elif name == "href":
            if value.startswith("#"):
                kept[name] = f"#{prefix}{value[1:]}"
            elif element.tag == "image" and PICTURE.match(value):
                kept[name] = value
        elif not name.lower().startswith("on") and "url(" not in REFERENCE.sub("", value):
            kept[name] = REFERENCE.sub(lambda match: match[0] + prefix, value)
    element.attrib.clear()
    element.attrib.update(kept)
    for child in list(element):
        if isinstance(child.tag, str) and _local(child.tag) in ALLOWED:
            _clean(child, prefix, depth + 1)
        else:
            element.remove(child)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
