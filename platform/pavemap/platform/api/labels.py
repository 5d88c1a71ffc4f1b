"""Names in paths of URLs that may hold anything: `f"{{name:{LABEL}}}"`."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class AnyText(Convertor[str]):
    """Lets a path end in any text, slashes and line breaks too: a bad name is told why it is refused."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return the text as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Return the text as it is."""
        return value


LABEL = "label"
register_url_convertor(LABEL, AnyText())
