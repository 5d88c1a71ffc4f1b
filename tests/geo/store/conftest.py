"""What the store's tests share: a planned survey of the drawn road."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow


@pytest.fixture
def survey(engine: Engine) -> SurveyRow:
    """A survey of the whole road, its fifty cells waiting."""
    with database(engine) as connection:
        return scene.planned_survey(connection)


@pytest.fixture
def segments(engine: Engine, survey: SurveyRow) -> NDArray[np.int64]:
    """The ids of the road's segments, west to east."""
    with database(engine) as connection:
        ids = connection.execute(text("SELECT id FROM segment ORDER BY from_m")).scalars()
        return np.array(list(ids), dtype=np.int64)
