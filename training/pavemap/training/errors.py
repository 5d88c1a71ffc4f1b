"""The errors of the training floor that a user may meet."""

from typing import Self

from pavemap.geo.errors import BadInput, PavemapError


class BadTrainingConfig(BadInput):
    """A training run can't start as configured."""


class BadTrainingData(BadInput):
    """A folder of labelled images is missing, empty or inconsistent."""


class BadModel(BadInput):
    """A model folder is missing, damaged, or made for another version of pavemap."""

    @classmethod
    def unknown(cls, architecture: str) -> Self:
        """A network that this version does not have."""
        return cls(
            f"this version of pavemap knows no architecture {architecture!r}; update pavemap"
        )


class TrainingFailed(PavemapError):
    """A training run ended without a model."""
