"""matplotlib's SVG made fit for a file and for the page: links with titles, short coordinates, colours by name."""

import re
from collections.abc import Iterator
from copy import deepcopy
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from markupsafe import Markup

NAMESPACE = "http://www.w3.org/2000/svg"
GEOMETRY = ("d", "x", "y", "width", "height", "transform", "viewBox")
INHERITED = {"stroke-linejoin": "round", "stroke-linecap": "butt", "font-family": "DejaVu Sans, Verdana, sans-serif"}
"""The style of a whole figure, which matplotlib writes as a style sheet."""
DEFAULTS = {"text-anchor": "start", "stroke-linecap": "square", "font-family": "", "target": ""}
"""Attributes that are left out where they have this value; those of an empty text always."""
PAGE_WIDTH = 1.7
"""Pixels of the page for a point of the figure."""
NAMED = {"#000000": "var(--text)", "#ffffff": "var(--page)", "#e0e0e0": "var(--rule)"}
"""The colours of the page, which differ in the dark; those of lines are in `COLOURS`."""
COLOURS = ("#003f7d", "#e08214", "#35978f", "#b2479a", "#7a5230", "#5aa9e6")
"""One a line of a panel: colour-blind readers tell them apart, and the first two by lightness alone."""
GREY = "#5f5f5f"
"""The papers' numbers."""


def link(to: str, title: str) -> str:
    """Return the URL of an artist: the address in the page and the title, which `cleaned` takes apart again."""
    return f"{to} {title}"


def cleaned(svg: bytes) -> Element:
    """Return the figure without style sheets, which the page forbids, and with the title of each link as an element.

    An artist's URL is the address of its runs, a space, and a title. What cannot be seen is left out.
    """
    root = ElementTree.fromstring(svg)
    used = set(re.findall(r"#([\w-]+)", svg.decode()))
    box = {name: root.attrib[name] for name in ("width", "height", "viewBox")}
    _clean(root, used)
    root.attrib = INHERITED | box
    defined = {f"#{element.get('id')}": element.attrib for element in root.iter("path")}
    for mark in root.iter("use"):
        shape = defined[mark.attrib["href"]]
        mark.attrib = {name: value for name, value in mark.attrib.items() if shape.get(name) != value}
    return root


def _clean(element: Element, used: set[str]) -> None:
    element.tag = element.tag.rpartition("}")[2]
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for style in filter(None, (part.strip() for part in attributes.pop("style", "").split(";"))):
        name, _, value = style.partition(": ")
        if name == "font":  # `bold 7.5px 'DejaVu Sans'`
            attributes["font-size"] = re.search(r"[\d.]+(?=px)", value)[0]  # type: ignore[index]
            attributes |= {"font-weight": "bold"} if value.startswith("bold") else {}
        else:
            attributes[name] = value
    attributes |= {name: _rounded(attributes[name]) for name in GEOMETRY if name in attributes}
    attributes = {name: value for name, value in attributes.items() if DEFAULTS.get(name) not in ("", value)}
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if attributes.get("id") not in used and not attributes.get("id", "").startswith("panel-"):
        attributes.pop("id", None)
    element.attrib = attributes
    if element.tag == "a":
        attributes["href"], _, title = attributes["href"].partition(" ")
        ElementTree.SubElement(element, "title").text = title
        if not attributes["href"]:
            element.tag = "g"
            del attributes["href"]
    if element.tag not in ("text", "title"):
        element.text = None
    children: list[Element] = []
    for child in element:
        _clean(child, used)
        child.tail = None
        if child.tag == "g" and not child.attrib and not any(inner.tag == "title" for inner in child):
            children.extend(child)
        elif child.tag not in ("metadata", "style", "g", "defs", "path") or _is_seen(child):
            children.append(child)
    element[:] = children


def _is_seen(element: Element) -> bool:
    if element.tag == "path":
        return "id" in element.attrib or element.get("fill") != "none" or "stroke" in element.attrib
    return element.tag in ("g", "defs") and len(element) > 0


def _rounded(numbers: str) -> str:
    numbers = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return re.sub(r"\s*([A-Za-z])\s*", r"\1", " ".join(numbers.split())) if "M" in numbers else numbers


def file_text(root: Element) -> str:
    """Return the figure as an SVG file; its links lead to the page beside it."""
    text = ElementTree.tostring(root, encoding="unicode").replace('<a href="#', '<a href="index.html#')
    return text.replace("<svg ", f'<svg xmlns="{NAMESPACE}" ', 1) + "\n"


def panels_for_page(root: Element, prefix: str, boxes: list[list[float]]) -> Iterator[Markup]:
    """Yield each panel as an SVG of the page: x, y, width and height of `boxes` in points; ids begin with `prefix`.

    Assistive technology reads the table of numbers in its place, and the Tab key passes over its links.
    """
    root = deepcopy(root)
    panels = [element for element in root.iter("g") if element.get("id", "").startswith("panel-")]
    names = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    for element in root.iter():
        own = {name: _colour(value) for name, value in element.attrib.items()}
        for name in () if element.tag == "a" else own.keys() & {"id", "href", "clip-path"}:
            own[name] = re.sub(r"(?<=#)[\w-]+|^[\w-]+$", lambda found: f"{prefix}{names.index(found[0])}", own[name])
        element.attrib = own | ({"tabindex": "-1"} if element.tag == "a" else {})
    definitions = [child for child in root if child.tag == "defs"]
    for number, (panel, box) in enumerate(zip(panels, boxes, strict=True)):
        shape = {"width": f"{box[2] * PAGE_WIDTH:.0f}", "viewBox": " ".join(f"{side:.4g}" for side in box)}
        drawn = Element("svg", {"class": "plot", "aria-hidden": "true"} | shape)
        drawn.extend([*(definitions if number == 0 else ()), *panel])
        yield Markup(ElementTree.tostring(drawn, encoding="unicode"))  # ElementTree escapes all texts


def _colour(value: str) -> str:
    if value in COLOURS:
        return f"var(--c{COLOURS.index(value)})"
    return "var(--quiet)" if value == GREY else NAMED.get(value, value)
