"""matplotlib's SVG adapted to a file and to the page: links with titles, short numbers, no style sheet."""

import re
from collections.abc import Iterator
from copy import deepcopy
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup
from matplotlib.figure import Figure

NAMESPACE = "http://www.w3.org/2000/svg"
GEOMETRY = ("d", "x", "y", "width", "height", "transform", "viewBox")
INHERITED = {
    "stroke-linejoin": "round",
    "stroke-linecap": "butt",
    "font-family": "DejaVu Sans, Verdana, sans-serif",
    "font-size": "7px",
}
"""The style of a whole figure; an element has an attribute only where it differs."""
LEFT_OUT = {**INHERITED, "text-anchor": "start", "stroke-linecap": "square"}
"""Attributes that are left out if they have this value."""
NEVER = ("target", "font-family")
"""Attributes that are always left out."""
PAINT = ("fill", "stroke", "stroke-width", "stroke-dasharray")
"""Attributes that are moved from the marks to their link if all marks have the same value."""
PAGE_WIDTH = 1.7
"""Pixels on the page for a point of the figure."""
COLOURS = ("#003f7d", "#e08214", "#35978f", "#b2479a", "#7a5230", "#5aa9e6")
"""The colours of a panel's lines: colour-blind readers tell them apart, and the first two by lightness alone."""
GREY = "#5f5f5f"
"""The colour of the papers' numbers."""
PAGE_COLOURS = {colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)} | {
    GREY: "var(--quiet)",
    "#000000": "var(--text)",
    "#ffffff": "var(--page)",
    "#e0e0e0": "var(--rule)",
}
"""The same colours on the page, where a style sheet changes them in the dark."""


def link(to: str, title: str) -> str:
    """Return the URL to give to an artist: its address in the page, a space and its title; `cleaned` splits it."""
    return f"{to} {title}"


def cleaned(svg: bytes) -> Element:
    """Return the figure: `defs` first, then the drawing.

    Style sheets, which the page forbids, become attributes. The URL of an artist becomes a link with a title. Invisible
    elements are left out.
    """
    old = ElementTree.fromstring(svg)
    definitions = Element("defs")
    root = Element("svg", INHERITED | {name: old.attrib[name] for name in ("width", "height", "viewBox")})
    root.append(definitions)
    root.extend([element for child in old for element in _cleaned(child, definitions)])
    shapes = {f"#{shape.get('id')}": shape.attrib for shape in definitions}
    for mark in root.iter("use"):
        shape = shapes[mark.attrib["href"]]
        mark.attrib = {name: value for name, value in mark.attrib.items() if shape.get(name) != value}
    for marks in root.iter("a"):
        for name in PAINT:
            if len(values := {mark.get(name) for mark in marks}) == 1 and (value := values.pop()):
                marks.set(name, value)
                for mark in marks:
                    del mark.attrib[name]
    return root


def _cleaned(old: Element, definitions: Element) -> Iterator[Element]:
    """Yield the cleaned element; yield its children if it is only a wrapper, and nothing if it is invisible.

    Its definitions are added to `definitions`.
    """
    new = Element(old.tag.rpartition("}")[2], _attributes(old))
    children = [child for inner in old for child in _cleaned(inner, definitions)]
    for child in sorted(children, key=lambda child: child.tag == "text"):  # text lies over everything else
        if not (len(new) and _join(new[-1], child)):
            new.append(child)
    if new.tag == "defs":
        known = {shape.get("id") for shape in definitions}
        definitions.extend([shape for shape in new if shape.get("id") not in known])
    elif new.tag == "text":
        new.text = old.text
        yield new
    elif new.tag == "a":
        new.attrib["href"], _, title = new.attrib["href"].partition(" ")
        for mark in new:
            ElementTree.SubElement(mark, "title").text = title
        yield from [new] if new.attrib["href"] else new
    elif new.tag == "g" and not new.attrib:
        yield from new
    elif new.tag in ("use", "clipPath", "rect") or len(new) or _is_seen(new):
        yield new


def _join(before: Element, element: Element) -> bool:
    """Join two links to the same address, or two lines with the same look; return whether they were joined."""
    one, other = ({name: value for name, value in each.items() if name != "d"} for each in (before, element))
    if before.tag != element.tag or one != other:
        return False
    if element.tag == "a":
        before.extend(element)
    elif element.tag == "path" and element.get("fill") == "none" and "id" not in one:
        before.attrib["d"] += element.attrib["d"]
    else:
        return False
    return True


def _is_seen(path: Element) -> bool:
    """Return whether an element is a path that shows; a line without a point in its panel has no `d`."""
    painted = "id" in path.attrib or path.get("fill") != "none" or "stroke" in path.attrib
    return path.tag == "path" and "d" in path.attrib and painted


def _attributes(old: Element) -> dict[str, str]:
    """Return an element's attributes and its style, without attributes that have no effect."""
    found = {name.rpartition("}")[2]: value for name, value in old.items()}
    style = dict(re.findall(r"([\w-]+): ([^;]+)", found.pop("style", "")))
    if font := re.match(r"(bold )?([\d.]+px)", style.pop("font", "")):
        style |= {"font-size": font[2]} | ({"font-weight": "bold"} if font[1] else {})
    found |= style | {name: _rounded(found[name]) for name in GEOMETRY if name in found}
    if old.tag.endswith("}g") and not found.get("id", "").startswith("panel-"):
        found.pop("id", None)
    if found.get("transform", "").startswith("rotate(-0 "):
        del found["transform"]
    return {name: value for name, value in found.items() if name not in NEVER and LEFT_OUT.get(name) != value}


def _short(number: float) -> str:
    """Return a number with one decimal, or two below 10."""
    return f"{round(number, 2 if abs(number) < 10 else 1):.8g}"


def _rounded(numbers: str) -> str:
    """Return an attribute's text with rounded numbers and without needless spaces."""
    numbers = re.sub(r"-?\d+\.\d+", lambda number: _short(float(number[0])), numbers)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", " ".join(numbers.split())) if "M" in numbers else numbers


def file_text(root: Element) -> str:
    """Return the figure as an SVG file; its links lead to the page beside it."""
    text = ElementTree.tostring(root, encoding="unicode").replace('<a href="#', '<a href="index.html#')
    return text.replace("<svg ", f'<svg xmlns="{NAMESPACE}" ', 1) + "\n"


def panels_for_page(drawn: Element, figure: Figure, shared: dict[str, Element]) -> Iterator[Markup]:
    """Yield each panel of a figure, whose SVG is `drawn`, as an SVG of the page.

    Definitions (shapes of marks, clipping frames) are added to `shared`, which the page contains once. Assistive
    technology reads the table of numbers instead of the SVG, and the Tab key skips the links of the SVG.
    """
    root = deepcopy(drawn)
    names: dict[str, str] = {}
    for element in root.iter():
        element.attrib = {name: PAGE_COLOURS.get(value, value) for name, value in element.attrib.items()}
    for shape in root[0]:
        name = shape.attrib.pop("id")
        kept = shared.setdefault(ElementTree.tostring(shape, encoding="unicode"), shape)
        names[name] = kept.attrib.setdefault("id", f"d{len(shared)}")
    panels = [element for element in root if element.get("id", "").startswith("panel-")]
    points, top = 72 / figure.dpi, figure.bbox.height
    for panel, box in zip(panels, (place.bbox for place in figure.subfigs), strict=True):
        for element in panel.iter():
            if element.tag == "a":
                element.set("tabindex", "-1")
            for name in element.attrib.keys() & ({"clip-path"} if element.tag == "a" else {"clip-path", "href"}):
                element.set(name, re.sub(r"(?<=#)[\w-]+", lambda found: names[found[0]], element.attrib[name]))
        sides = [points * side for side in (box.x0, top - box.y1, box.width, box.height)]
        size = {"width": f"{sides[2] * PAGE_WIDTH:.0f}", "viewBox": " ".join(map(_short, sides))}
        plot = Element("svg", {"class": "plot", "aria-hidden": "true"} | size)
        plot.extend(panel)
        yield _markup(plot)


def definitions(shared: dict[str, Element]) -> Markup:
    """Return the definitions that the figures of the page share: the shapes of marks, and the clipping frames."""
    return Markup("").join(map(_markup, shared.values()))


def _markup(element: Element) -> Markup:
    """Return an element as markup for the page; it is safe, because ElementTree escapes its texts."""
    return Markup(ElementTree.tostring(element, encoding="unicode").replace(" />", "/>"))
