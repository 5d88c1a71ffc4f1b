"""The file `.env` where a program starts: variables of its environment, for those who keep them so."""

from __future__ import annotations

from pathlib import Path

from dotenv import load_dotenv

ENV_FILE = Path(".env")


def read_env_file() -> None:
    """Take what `.env` says into the environment, which it doesn't overrule.

    Not only settings of pavemap: keys of an S3 storage and addresses of other services as well.
    """
    load_dotenv(ENV_FILE)
