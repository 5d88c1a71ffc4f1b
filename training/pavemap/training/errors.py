"""The errors of the training floor that a user may meet."""

from pavemap.geo.errors import BadInput, PavemapError


class BadTrainingConfig(BadInput):
    """A training run can't start as configured."""


class BadTrainingData(BadInput):
    """A folder of labelled images is missing, empty or inconsistent."""


class BadModel(BadInput):
    """A model folder is missing, damaged, or made for another version of pavemap."""


class TrainingFailed(PavemapError):
    """A training run ended without a model."""
