"""Equations as MathML, which browsers show without a script. Called by MkDocs."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml import converter

# As pymdownx.arithmatex leaves them.
_EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(written: str, **_: Any) -> str:
    r"""Turn the equations of a page from TeX into MathML.

    >>> on_page_content(r'<span class="arithmatex">\(a\)</span>')
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>a</mi></mrow></math>'
    """

    def equation(match: re.Match[str]) -> str:
        if match[1] == "span":
            return converter.convert(html.unescape(match[2]))
        block = converter.convert(html.unescape(match[2]), display="block")
        return f'<div style="overflow-x: auto" tabindex="0">{block}</div>'  # Wider than a phone.

    return _EQUATION.sub(equation, written)
