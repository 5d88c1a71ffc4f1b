"""Change over HTTP: what became of segments and cracks since an earlier survey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request

from pavemap.geo.limits import MAX_TOLERANCE_M
from pavemap.geo.store.cursors import MAX_COMPARED
from pavemap.geo.store.engine import database
from pavemap.platform.api import geojson
from pavemap.platform.api.geojson import GeoJSONResponse
from pavemap.platform.api.parameters import After, GeometryKind, SurveyId, survey_id_of
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.changes import (
    ChangeSummaryOut,
    CrackChangePage,
    SegmentChangePage,
)
from pavemap.platform.api.services import ServicesOf

if TYPE_CHECKING:  # it compares lines with compiled code, which few requests need
    from pavemap.geo.store.changes import ChangePage, CrackChange

router = APIRouter(prefix="/surveys/{survey_id}/change", tags=["results"])

Since = Annotated[str, Query(description="id of the earlier survey")]
Tolerance = Annotated[
    float | None,
    Query(
        gt=0,
        le=MAX_TOLERANCE_M,
        allow_inf_nan=False,
        description="metres that the two surveys may show the same crack apart; by default from the "
        "pixel sizes and position errors of both",
    ),
]
Sort = Annotated[
    Literal["density_change", "segment"],
    Query(
        description="the worst first, or by segment, which is the way to read all pages: for the worst "
        "first each page looks at the whole network"
    ),
]
Limit = Annotated[int, Query(ge=1, le=MAX_COMPARED, description="segments per page")]


@router.get(
    "",
    response_class=GeoJSONResponse,
    responses=geojson.described(SegmentChangePage, "A page of changes."),
    summary="Change of segments since an earlier survey",
)
def list_changes(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    since: Since,
    tolerance_m: Tolerance = None,
    sort: Sort = "density_change",
    geometry: GeometryKind = "pavement",
    limit: Limit = 100,
    after: After = None,
) -> GeoJSONResponse:
    """Compare segments with an earlier survey of the same roads, those that got worse first.

    Densities are those of each survey; the lengths that are new, grown, gone and unchanged are of the
    ground that both have imaged.
    """
    found = _page(
        services, survey_id, since, tolerance_m=tolerance_m, sort=sort, limit=limit, after=after
    )
    shapes = {"line", "pavement"}
    return geojson.page(
        request,
        ids=[row.segment_id for row in found.segments],
        geometries=[getattr(row, geometry) for row in found.segments],
        properties=[
            {name: value for name, value in vars(row).items() if name not in shapes}
            for row in found.segments
        ],
        following=found.following,
    )


@router.get(
    "/cracks",
    response_class=GeoJSONResponse,
    responses=geojson.described(CrackChangePage, "A page of changes."),
    summary="Change of cracks since an earlier survey",
)
def list_crack_changes(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    since: Since,
    tolerance_m: Tolerance = None,
    sort: Sort = "density_change",
    limit: Limit = 100,
    after: After = None,
) -> GeoJSONResponse:
    """List the cracks on a page of segments in stretches that are new, grown, gone or unchanged."""
    found = _page(
        services, survey_id, since, tolerance_m=tolerance_m, sort=sort, limit=limit, after=after
    )
    return geojson.page(
        request,
        ids=list(_crack_ids(found.cracks)),
        geometries=[row.line for row in found.cracks],
        properties=[
            {name: value for name, value in vars(row).items() if name != "line"}
            for row in found.cracks
        ],
        following=found.following,
    )


def _crack_ids(cracks: Sequence[CrackChange]) -> Iterator[str]:
    """Number cracks within their segments, none of which is on two pages."""
    seen: Counter[int] = Counter()
    for crack in cracks:
        seen[crack.segment_id] += 1
        yield f"{crack.segment_id}-{seen[crack.segment_id]}"


@router.get("/summary", responses=answers(404, 409), summary="Change of a whole network")
def get_change_summary(
    survey_id: SurveyId, services: ServicesOf, since: Since, tolerance_m: Tolerance = None
) -> ChangeSummaryOut:
    """Sum up the change of density over all segments that both surveys have."""
    from pavemap.geo.store.change_summary import change_summary
    from pavemap.geo.store.comparison import compare_surveys

    with database(services.engine) as connection:
        comparison = compare_surveys(
            connection,
            survey_id_of(survey_id),
            since=survey_id_of(since),
            tolerance_m=tolerance_m,
        )
        return ChangeSummaryOut(**asdict(change_summary(connection, comparison)))


def _page(
    services: ServicesOf,
    survey_id: str,
    since: str,
    *,
    tolerance_m: float | None,
    sort: Literal["density_change", "segment"],
    limit: int,
    after: str | None,
) -> ChangePage:
    from pavemap.geo.store import changes
    from pavemap.geo.store.comparison import compare_surveys

    with database(services.engine) as connection:
        comparison = compare_surveys(
            connection,
            survey_id_of(survey_id),
            since=survey_id_of(since),
            tolerance_m=tolerance_m,
        )
        return changes.changes_page(connection, comparison, sort=sort, limit=limit, after=after)
