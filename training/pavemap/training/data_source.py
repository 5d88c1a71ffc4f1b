"""Which labelled images a run is taught, validated or tested on, and how their masks are read."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pavemap.training.strict_model import StrictModel


class DataSource(StrictModel):
    """A folder of labelled images; a pixel is crack where its mask is at least 128, unless told else."""

    folder: Path = Field(description="folder with images/ and masks/, of the same file stems")
    list: str | None = Field(
        default=None,
        description="text file in the folder, one stem a line (train is train.txt); None is every image",
    )
    weight: float = Field(
        default=1.0, gt=0, description="how often the set is drawn from, relative to the others"
    )
    inverted: bool = Field(
        default=False, description="crack is below 128: AigleRN draws cracks black on white"
    )
    crack_values: tuple[int, ...] = Field(
        default=(),
        description="values of masks that are crack, of a palette its indices; none is 128 and above",
    )
    ignore_values: tuple[int, ...] = Field(
        default=(),
        description="values of masks that are taught neither as crack nor as sound; none is the one "
        "that the set's manifest names",
    )
    leave_out_every: int = Field(
        default=0, ge=0, description="keep every n-th image for validation; 0 keeps none"
    )
    left_out: bool = Field(default=False, description="use only what leave_out_every keeps back")
    licence: str = Field(default="", description="licence of the set, for the model's card")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.left_out and not self.leave_out_every:
            raise ValueError(
                "left_out takes what leave_out_every keeps back; give leave_out_every here as well, the "
                "same as of the set that is taught"
            )
        return self

    @property
    def label(self) -> str:
        """A short name of the set for cards and tables."""
        part = self.folder.name in {"train", "test", "val"}
        name = f"{self.folder.parent.name}/{self.folder.name}" if part else self.folder.name
        return name + (f"/{Path(self.list).stem}" if self.list else "")


def check_told_apart(kind: str, sources: tuple[DataSource, ...]) -> None:
    """Raise ValueError where sets have one name: scores are kept by it."""
    labels = [source.label for source in sources]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(
            f"{kind} has more than one set called {', '.join(twice)}; scores are kept by that name, "
            "so give their folders different ones"
        )
