"""Convertors of paths, as Starlette calls them: `f"{{name:{ANY_TEXT}}}"` in a route."""

from __future__ import annotations

from starlette.convertors import PathConvertor, register_url_convertor


class AnyText(PathConvertor):
    """Lets a path end in any text, slashes and line breaks too: a bad name is told why it is refused."""

    regex = "(?s:.*)"


ANY_TEXT = "any_text"
register_url_convertor(ANY_TEXT, AnyText())
