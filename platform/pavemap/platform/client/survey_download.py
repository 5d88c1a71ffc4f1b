"""A survey's layers, and what changed between two, from the server into files, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pavemap.geo.errors import Conflict
from pavemap.geo.limits import ASSUMED_ACCURACY

if TYPE_CHECKING:
    from pavemap.platform.client.api_client import Client
    from pavemap.platform.exports.export import Export
    from pavemap.platform.exports.export_layers import LayerName

Made = TypeVar("Made")
Json = dict[str, Any]
OnRows = Callable[[str, int], None]
"""Hears a layer's name and how many of its rows are written so far."""

ServedLayer = Literal["segments", "cracks"]
SERVED_LAYERS: tuple[ServedLayer, ...] = ("segments", "cracks")
"""The layers that the API gives page by page."""

ATTEMPTS = 3
"""Tries of what a measuring may make worthless while it is read."""


def export_survey(
    client: Client,
    survey: Json,
    path: Path,
    *,
    layers: Sequence[ServedLayer] = SERVED_LAYERS,
    bbox: str | None = None,
    on_rows: OnRows = lambda *_: None,
) -> list[Path]:
    """Write a survey's layers as they are after one measuring; return the files.

    Where it is measured anew meanwhile, they are written once more. Raises what `Export` does, and
    Conflict when that goes on.
    """
    from pavemap.platform.exports.export import Export

    def write() -> Export:
        with (
            Export(path, layers=layers, descriptions=layer_descriptions(survey)) as made,
            raise_if_remeasured(client, survey["id"]),
        ):
            for name in layers:
                if name == "segments":
                    pages = client.segments(
                        survey["id"], bbox=bbox, sort="segment_key", order="asc"
                    )
                else:
                    pages = client.cracks(survey["id"], bbox=bbox)
                _copy(pages, made, name, partial(on_rows, name))
        return made

    return retry_if_remeasured(write).files


def export_changes(
    client: Client,
    later: Json,
    earlier: Json,
    path: Path,
    *,
    summary: Json,
    tolerance_m: float | None = None,
    on_rows: OnRows = lambda *_: None,
) -> list[Path]:
    """Write what changed since an earlier survey, of segments and of cracks; return the files.

    `summary` is the server's of the same comparison. Raises what `export_survey` does.
    """
    from pavemap.platform.exports.export import Export

    layers: dict[LayerName, ServedLayer] = {"changes": "segments", "crack_changes": "cracks"}
    told = dict.fromkeys(layers, _comparison(later, earlier, summary))
    asked = {"since": earlier["id"], "tolerance_m": tolerance_m}

    def write() -> Export:
        with (
            Export(path, layers=list(layers), descriptions=told) as made,
            raise_if_remeasured(client, later["id"]),
            raise_if_remeasured(client, earlier["id"]),
        ):
            for name, layer in layers.items():
                pages = client.change(later["id"], layer=layer, sort="segment", **asked)
                _copy(pages, made, name, partial(on_rows, layer))
        return made

    return retry_if_remeasured(write).files


@contextmanager
def raise_if_remeasured(client: Client, survey_id: str) -> Iterator[None]:
    """Raise Conflict at the end of a block in which a survey was measured anew."""
    from pavemap.platform.client.server_connection import insistent

    before = insistent(lambda: client.survey(survey_id))["finished_at"]
    yield
    if insistent(lambda: client.survey(survey_id))["finished_at"] != before:
        raise Conflict("the survey was measured anew meanwhile; begin again")


def retry_if_remeasured(work: Callable[[], Made]) -> Made:
    """Do what reads a survey, and again where it was measured anew meanwhile. Raises the last Conflict."""
    for _ in range(ATTEMPTS - 1):
        with suppress(Conflict):
            return work()
    return work()


def layer_descriptions(survey: dict[str, Any]) -> dict[LayerName, str]:
    """Say, for the metadata of a survey's file, what the figures of its layers rest on."""
    pixel = f"{survey['ground_gsd_m'] * 1000:.3g} mm a pixel"
    smallest = (
        f"cracks narrower than {survey['smallest_width_mm']:.3g} mm are not told from that width"
    )
    common = f"Survey '{survey['name']}', {_found_by(survey)}, {pixel}: {smallest}."
    return {
        "segments": f"{common} Figures of segments that are not confident rest on too little coverage.",
        "cracks": common,
    }


def _copy(
    pages: Iterable[list[Json]], target: Export, layer: LayerName, on_count: Callable[[int], None]
) -> None:
    """Write pages of features as a layer of an export; `on_count` hears how many so far."""
    import geopandas as gpd

    count = 0
    for page in pages:
        if page:
            frame = gpd.GeoDataFrame.from_features(page, crs=4326)
            if layer == "cracks":
                frame["crack_id"] = [feature["id"] for feature in page]
            target.write(layer, frame)
        count += len(page)
        on_count(count)


def _found_by(survey: Json) -> str:
    """Say who found a survey's cracks: a model, which reviewers may have corrected."""
    heeded = survey["heeded_reviews"]
    corrected = "" if heeded is None else f" as corrected by {heeded:,} reviews"
    return f"model {survey['model']}{corrected}"


def _comparison(later: Json, earlier: Json, summary: Json) -> str:
    """Say, for the file's metadata, what was compared, and by which assumptions."""
    surveys = " with ".join(f"'{each['name']}' ({_found_by(each)})" for each in (later, earlier))
    accuracy = " and ".join(
        f"{summary[f'precision_{when}']:.2f} and {summary[f'recall_{when}']:.2f} {when}"
        for when in ("before", "after")
    )
    unstated = f", {ASSUMED_ACCURACY} where a model's card states none"
    assumed = "" if summary["accuracy_stated"] else unstated
    return (
        f"Survey {surveys}. Cracks are the same within {summary['tolerance_m']:.2f} m; uncertainties "
        f"rest on a precision and recall of {accuracy}{assumed}."
    )
