"""HTML by construction: text is escaped unless it is `Html` already, so that nothing a run holds becomes markup."""

import html
import re

VOID = ("img", "link", "meta")


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: str) -> Html:
    """`<tag attributes>content</tag>`; an attribute that Python keeps for itself ends in `_`, `_` within it is `-`."""
    named = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(text)}"' for key, text in attributes.items())
    return Html(f"<{tag}{named}>" if tag in VOID else f"<{tag}{named}>{together(*content)}</{tag}>")


def together(*content: str, between: str = "") -> Html:
    """The parts one after the other."""
    return Html(between.join(part if isinstance(part, Html) else html.escape(part) for part in content))


def prose(text: str) -> Html:
    """Text in which `backticks` mark code."""
    parts = re.split(r"`([^`]+)`", text)
    return together(*(element("code", part) if at % 2 else part for at, part in enumerate(parts)))


def link(text: str, target: str) -> Html:
    """`text` leading to `target`: a place of the page or a file beside it."""
    return element("a", text, href=target)
