"""Log lines of every process: for people, or one JSON object a line, with the ids of what they are about.

Modules log with the standard library. What is at hand (a request, a survey, a cell) is bound once with
`about`, and stands in each line written meanwhile, whoever writes it. structlog renders.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["about", "configure_logs", "known_ids", "note_ids"]

IDS = ("request_id", "survey_id", "orthophoto", "orthophotos", "cell", "job_id")
"""Names of what is bound, in the order in which lines for people show them."""

PASSWORD = re.compile(
    r"""(?<=://)
    (?: (?<=postgres://) | (?<=postgresql://) | (?<=psycopg://) | (?![^:/@\s]*:\d+[/?#"]) )
    ([^:/@\s\[]*):[^@\s]{1,4096}(?:@[^@\s/]*)*@""",
    re.VERBOSE,
)
"""The password of a URL; it is never to be seen in a log. It may hold / and @ though it should not.

Digits before a / are a port, as in http://host:8000/a@b, but no port to SQLAlchemy. Tokens of clouds are
long; the bound keeps the time linear.
"""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What breaks lines, steers terminals or turns the direction of writing: by it a name could forge lines."""

SECRET_WORDS = re.compile(
    r"(?i)\b(authorization: bearer|(?:aws_)?secret_access_key[=:]|password[=:]) ?[^\s,;'\"]+"
)


def configure_logs(*, level: str, as_json: bool) -> None:
    """Send records to standard error; a second call replaces the first.

    pavemap's own are shown from `level` on, those of libraries from WARNING.
    """
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, mask_secrets, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.processors.format_exc_info, mask_secrets, _plain]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                *rendering,
            ],
        )
    )
    for name, least in (("pavemap", level), ("uvicorn", "WARNING")):
        logger = logging.getLogger(name)
        for old in list(logger.handlers):
            logger.removeHandler(old)
        logger.addHandler(handler)
        logger.setLevel(least)
        logger.propagate = False


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Have all lines of this thread or task bear these ids while the block runs; None is left out."""
    before = get_contextvars()
    bind_contextvars(**{name: value for name, value in ids.items() if value is not None})
    try:
        yield
    finally:
        clear_contextvars()
        bind_contextvars(**before)


def note_ids(**ids: Any) -> None:
    """Bind ids until the surrounding `about` ends, as where a path of a request has been read."""
    bind_contextvars(**ids)


def known_ids() -> dict[str, Any]:
    """Return what is bound now, to hand it on to another process."""
    bound = get_contextvars()
    return {name: bound[name] for name in IDS if name in bound}


def mask_secrets(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Take passwords out of URLs, and keys and tokens out of headers, in every text of a line."""
    return {
        name: _masked(value) if isinstance(value, str) else value for name, value in line.items()
    }


def _masked(text: str) -> str:
    return SECRET_WORDS.sub(r"\1 ***", PASSWORD.sub(r"\1:***@", text))


def _plain(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    """Render a line for people: what happened, then what it is about, then a traceback, set in."""
    facts = {name: line[name] for name in IDS if name in line}
    said = "".join(f" {name}={_shown(value)}" for name, value in facts.items())
    message = _escaped(str(line["message"]))
    first = f"{line['time']} {line['level'].upper()} {line['logger']}: {message}{said}"
    trace = str(line.get("exception") or "")
    return "\n  ".join([first, *map(_escaped, trace.split("\n"))]) if trace else first


def _shown(value: Mapping[str, Any] | list[Any] | object) -> str:
    return _escaped(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _escaped(text: str) -> str:
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
