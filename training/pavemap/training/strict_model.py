"""The base of settings: what is misspelt or not finite is refused, and nothing changes afterwards."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A frozen model that takes neither unknown fields nor numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
