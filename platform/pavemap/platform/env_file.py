"""The file `.env` where a program starts: variables of its environment, for those who keep them so."""

from __future__ import annotations

from pathlib import Path

from dotenv import load_dotenv

from pavemap.geo.errors import BadInput

ENV_FILE = Path(".env")


def read_env_file() -> None:
    """Take what `.env` says into the environment, which it doesn't overrule.

    Not only settings of pavemap: keys of an S3 storage and addresses of other services as well.
    Raises BadInput for a file that is no UTF-8, and OSError for one that can't be read.
    """
    try:
        load_dotenv(ENV_FILE, encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadInput(f"{ENV_FILE.absolute()} is no UTF-8; save it so") from exc
