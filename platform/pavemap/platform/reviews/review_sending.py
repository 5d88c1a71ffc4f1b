"""Sends what a file of reviews says to a survey, batch by batch, and counts what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pavemap.platform.reviews.review_file import Feature
from pavemap.platform.reviews.review_import import BATCH, ReviewFile, errors_by_feature

if TYPE_CHECKING:
    from pavemap.platform.client.api_client import Client

KINDS = ("added", "replaced", "unchanged")
"""What may become of a review or an area that is sent."""


def send_reviews(
    client: Client,
    survey_id: str,
    said: ReviewFile,
    areas: Sequence[Feature],
    *,
    on_sent: Callable[[int], None],
) -> Counter[str]:
    """Send reviews, then areas looked at whole; `on_sent` hears how many more were stored.

    Counts are named reviews_added, areas_unchanged and so on; reviews_overtaken are those that were
    judged otherwise since the file was exported. Raises what the server says, with the numbers of
    features in their file.
    """
    counts: Counter[str] = Counter(reviews_unchanged=said.as_exported)
    stored = 0

    def send(what: str, add: Callable[[str, Sequence[Feature]], Any], batch: list[Feature]) -> Any:
        nonlocal stored
        with errors_by_feature(batch, stored=stored):
            answer = add(survey_id, batch)
        stored += len(batch)
        for kind in KINDS:
            counts[f"{what}_{kind}"] += answer[kind]
        on_sent(len(batch))
        return answer

    for batch in said.batches():
        answer = send("reviews", client.add_reviews, batch)
        counts["reviews_overtaken"] += answer["overtaken"] if said.tells_exported else 0
    for start in range(0, len(areas), BATCH):
        send("areas", client.add_areas, list(areas[start : start + BATCH]))
    return counts
