"""Which models a benchmark is of: those that are named, else all that are shipped."""

from __future__ import annotations

import argparse
from pathlib import Path

from pavemap.training.models.shipped_models import find_model_folder, shipped_model_folders


def add_models(parser: argparse.ArgumentParser) -> None:
    """Let the command line name models, as often as it likes."""
    parser.add_argument("--model", action="append", help="a shipped name or a folder; all shipped")


def model_folders(options: argparse.Namespace) -> list[Path]:
    """The folders of the models that the command line names. Raises BadModel for one that isn't there."""
    return [find_model_folder(name) for name in options.model or []] or shipped_model_folders()
