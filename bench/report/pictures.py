"""Figures within a page: the SVG of a run's folder as markup of its own page, and intervals drawn beside their bar.

A folder may be another's. Of its SVG only shapes and text are taken over, with attributes that can load or run nothing.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from bench.errors import InputError
from bench.judge.bars import Part
from bench.judge.intervals import Interval
from bench.show.claims_figure import LIMITS, on_scale
from bench.text import printable

ELEMENTS = {"svg", "defs", "g", "path", "use", "rect", "clipPath", "pattern", "text", "tspan"}
ATTRIBUTES = {
    "clip-path", "d", "fill", "height", "href", "id", "opacity", "patternUnits", "style", "transform", "viewBox",
    "width", "x", "y",
}  # fmt: skip
# What the page's style says anyway, what turns nothing, and digits that no screen shows.
IDLE = re.compile(r"font-family: [^;]*;? ?|rotate\(-0 [^)]*\)|(?<=\.\d\d)\d+")
REFERENCE = re.compile(r"(?<=url\(#)[^)]+(?=\))")
POINTS = 72 * 3.7  # a figure no wider than this fits a phone
SIZE, LEAST_SIZE = 1.5, 1.1  # pixels per point: of a figure with room, and the least at which its type can be read


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in a page.

    Args:
        title: for readers; "" where the file has none.
        note: what stands below it.
        markup: an `svg` element.
    """

    title: str
    note: str
    markup: Markup


def inline(svg: bytes, name: str) -> Picture:
    """A figure's SVG as markup within a page; its ids are unique among figures of other names.

    Args:
        svg: the file's content.
        name: of the figure, which its ids begin with.

    Raises:
        InputError: the content is no SVG.
    """
    try:
        root = ET.fromstring(svg)  # noqa: S314  (expat limits what entities come to)
        _, _, width, _ = map(float, root.get("viewBox", "").split())
    except (ET.ParseError, ValueError) as error:
        raise InputError(f"is no SVG with a viewBox ({error}); draw the run anew") from error
    told = {_local(element.tag): element.text or "" for element in root.iter()}
    given = [(_local(key), value) for element in root.iter() for key, value in element.attrib.items()]
    used = {found for _, value in given for found in REFERENCE.findall(value)}
    used |= {value[1:] for key, value in given if key == "href"}
    ids = {old: f"svg-{name}-{place}" for place, old in enumerate(sorted(used))}
    for key in set(root.attrib) - {"viewBox"}:
        del root.attrib[key]
    least = f"min-width: {LEAST_SIZE * width:.0f}px" if width > POINTS else ""
    root.attrib |= {"width": f"{SIZE * width:.0f}", "style": least}
    try:
        markup = Markup("".join(_markup(root, ids)))  # noqa: S704  (escaped by _markup)
    except RecursionError as error:
        raise InputError("is nested too deep; draw the run anew") from error
    title, note = (printable(told.get(key, "")) for key in ("title", "description"))
    return Picture(title, note, markup)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _markup(element: ET.Element, ids: dict[str, str]) -> Iterable[str]:
    tag = _local(element.tag)
    if tag not in ELEMENTS:
        return
    yield f"<{tag}"
    for name, value in element.attrib.items():
        key = _local(name)
        kept = _attribute(key, value, ids)
        if key in ATTRIBUTES and kept:
            yield f' {key}="{escape(kept)}"'
    yield ">"
    if tag in ("text", "tspan"):
        yield str(escape(element.text or ""))
    for child in element:
        yield from _markup(child, ids)
        if tag in ("text", "tspan"):
            yield str(escape(child.tail or ""))
    yield f"</{tag}>"


def _attribute(key: str, value: str, ids: dict[str, str]) -> str:
    """What is kept of an attribute; "" where that is nothing."""
    if key == "id":
        return ids.get(value, "")
    if key == "href":
        return f"#{ids[value[1:]]}" if value.startswith("#") else ""
    if "url(" in value.replace("url(#", ""):
        return ""
    return IDLE.sub("", REFERENCE.sub(lambda found: ids[found[0]], value))


@dataclass(frozen=True)
class Bar:
    """An interval drawn on a line, places in % of its length.

    Args:
        low: where it begins.
        middle: where its estimate is.
        high: where it ends.
        beyond: whether the estimate lies beyond the line's end.
        least: where the least that counts as met is.
        least_words: that figure.
        stated: where the paper's figure is; None where it gives none.
        stated_words: that figure.
        zone: from where to where everything counts as met.
    """

    low: float
    middle: float
    high: float
    beyond: bool
    least: float
    least_words: str
    stated: float | None
    stated_words: str
    zone: tuple[float, float]


def common_bar(part: Part, found: Interval | None) -> Bar | None:
    """An interval on the scale that all claims share.

    Args:
        part: what was measured.
        found: its interval.
    """
    shown = on_scale(part, found)
    return None if shown is None else _bar(shown, LIMITS, 0.0, "", 1.0, "", large=True)


def own_bar(part: Part, found: Interval | None) -> Bar | None:
    """An interval in its own unit, beside the bar or the smallest effect of interest and what is claimed.

    Args:
        part: what was measured.
        found: its interval.
    """
    if found is None or not math.isfinite(found.estimate):
        return None
    least = part.bar if part.bar is not None else part.sesoi or 0.0
    shown = [least, found.estimate, *(v for v in (found.low, found.high) if math.isfinite(v))]
    shown += [0.0] if part.bar is None else []
    shown += [part.claimed] if part.claimed is not None else []
    margin = 0.08 * (max(shown) - min(shown)) or 1.0
    limits = (min(shown) - margin, max(shown) + margin)
    claimed = f"{part.claimed:g} claimed" if part.claimed is not None else ""
    return _bar(found, limits, least, f"{least:g}", part.claimed, claimed, part.large)


def _bar(
    found: Interval, limits: tuple[float, float], least: float, least_words: str, stated: float | None,
    stated_words: str, large: bool,
) -> Bar:  # fmt: skip
    def place(value: float) -> float:
        return round(100 * (min(max(value, limits[0]), limits[1]) - limits[0]) / (limits[1] - limits[0]), 2)

    beyond = not limits[0] <= found.estimate <= limits[1]
    zone = (place(least), 100.0) if large else (0.0, place(least))
    ends = (place(found.low), place(found.estimate), place(found.high))
    at = None if stated is None else place(stated)
    return Bar(*ends, beyond, place(least), least_words, at, stated_words, zone)
