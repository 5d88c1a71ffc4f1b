"""What the tests of the command line share: a way to run it, and a detector whose answer is known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typer.testing import CliRunner

from pavemap.platform.cli.main import app


def dark(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector for drawn ground: grey 45 is crack, grey 140 is not, half way is grey 100."""
    grey = chip[:, :, 0].astype(int)
    probability: NDArray[np.uint8] = np.clip(128 + 10 * (100 - grey), 0, 255).astype(np.uint8)
    return probability


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on standard output."""
        return json.loads(self.out)


class Cli:
    """Runs `pavemap` in this process."""

    def __call__(self, *arguments: object) -> Said:
        """Run a command, which must succeed."""
        said = self.fails(*arguments, code=0)
        assert "Error" not in said.err
        return said

    def fails(self, *arguments: object, code: int = 1) -> Said:
        """Run a command, which must end with an exit code."""
        result = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="pavemap")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return Said(result.exit_code, result.stdout, result.stderr)
