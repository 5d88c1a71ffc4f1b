"""The application as it runs: real Ray, real PostGIS, real processes, and what happens when they die."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine

from drawn_surveys import Figures, figures, held_back, lay_survey, progress, state, wait_until
from pavemap.geo.storage import Storage
from pavemap.geo.store import cells, planning, surveys
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.geo.store.surveys import SurveyRow
from pavemap.platform import models
from pavemap.platform.private_postgres import PrivatePostgres
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import write_card
from pavemap.training.models.model_store import ModelStore, register
from pavemap.training.models.shipped_models import default_card, default_model_folder
from scenes import Scene, asphalt, cracked_strip, draw_crack, wandering
from serving_process import ServingProcess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

ARGS = {
    "surveyor_threads": 2,
    "detector_threads": 2,
    "max_queued_chips": 4,
    "lease_s": 15.0,
    "poll_s": 1.0,
    "retry_after_error_s": 0.1,
}

SURVEY_S = 120.0

MEMORY_BYTES = 1.5e9


@dataclass
class Place:
    """A PostGIS and a storage of this module's own, and serving on them, started when it is needed."""

    folder: Path
    postgres: PrivatePostgres
    engine: Engine
    storage: Storage
    scene: Scene
    count: int = 0
    _serving: list[ServingProcess] = field(default_factory=list)

    def serving(self) -> ServingProcess:
        if not self._serving or self._serving[0].process.poll() is not None:
            assert self.storage.folder is not None
            url = self.postgres.url()
            self._serving = [
                ServingProcess.start(
                    self.folder, ARGS, database_url=url, storage=self.storage.folder
                )
            ]
        return self._serving[0]

    def new_survey(
        self, *, plan: bool = True, scene: Scene | None = None, cell_px: int = 256
    ) -> SurveyRow:
        self.count += 1
        return lay_survey(
            self.engine,
            storage=self.storage,
            scene=scene or self.scene,
            folder=self.folder / f"tiles-{self.count}",
            cell_px=cell_px,
            plan=plan,
        )

    def wait_done(self, survey: SurveyRow) -> Figures:
        wait_until(
            lambda: state(self.engine, survey) in {"done", "failed"},
            within_s=SURVEY_S,
            what=f"the survey is done; it is at {progress(self.engine, survey)}",
        )
        with database(self.engine) as conn:
            after = surveys.get_survey(conn, survey.id)
        assert after.state == "done", after.error
        return figures(self.engine, survey)

    def wait_midway(self, survey: SurveyRow, *, done: int = 5) -> None:
        wait_until(
            lambda: progress(self.engine, survey).done >= done,
            within_s=SURVEY_S,
            what=f"{done} cells are done",
        )

    @contextmanager
    def midway(self, survey: SurveyRow) -> Iterator[None]:
        """Hold some cells back, so that the survey is under way for as long as this lasts."""
        with held_back(self.engine, survey, count=20):
            self.wait_midway(survey)
            yield


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    folder = Path(
        tempfile.mkdtemp(prefix="serving-", dir="/tmp")
    )  # Ray's sockets need a short path
    postgres = PrivatePostgres(folder / "postgres", options={"fsync": "off"})
    engine = make_engine(postgres.start())
    upgrade(engine)
    made = Place(
        folder, postgres, engine, Storage(str(folder / "storage")), cracked_strip(3200, 1600)
    )
    try:
        yield made
    finally:
        for serving in made._serving:
            if serving.process.poll() is None:
                serving.kill()
        engine.dispose()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(place: Place) -> Figures:
    """What a survey says when nothing goes wrong."""
    place.serving()
    survey = place.new_survey()
    found = place.wait_done(survey)
    after = progress(place.engine, survey)
    assert (after.done, after.retries) == (after.cells_total, 0)
    assert after.cells_total > 50
    return found


def test_a_chip_over_http_gives_the_models_own_probabilities(place: Place) -> None:
    serving = place.serving()
    chip = asphalt(300, 200, seed=5)
    draw_crack(chip, wandering((20, 30), (280, 170), seed=1))
    health = httpx.get(f"{serving.url}/healthz", timeout=60)
    assert health.json() == {"status": "ok", "model_id": default_card().model_id}
    answer = httpx.post(f"{serving.url}/detect", content=png_of(chip), timeout=60)
    assert answer.status_code == 200
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    expected = CrackModel.load(default_model_folder(), device="cpu").detect(chip)
    assert expected.max() > 200
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("body", "status"), [(b"hello", 422), (None, 413)], ids=["no picture", "too large"]
)
def test_a_body_that_is_no_chip_gets_a_problem_with_advice(
    place: Place, body: bytes | None, status: int
) -> None:
    content = body or png_of(np.zeros((2600, 2600, 3), np.uint8))
    answer = httpx.post(f"{place.serving().url}/detect", content=content, timeout=60)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_more_chips_than_the_queue_holds_are_refused_with_429_and_a_time(place: Place) -> None:
    serving = place.serving()
    body = png_of(asphalt(1400, 1400))
    answers: list[httpx.Response] = []

    with httpx.Client(timeout=120) as client:

        def send() -> None:
            answers.append(client.post(f"{serving.url}/detect", content=body))

        threads = [threading.Thread(target=send) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) == {200, 429}
    assert codes[200] >= 4
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    again = httpx.post(f"{serving.url}/detect", content=body, timeout=120)
    assert again.status_code == 200


def test_a_survey_from_planning_to_figures(place: Place, undisturbed: Figures) -> None:
    assert undisturbed.cracks
    assert undisturbed.conditions
    lengths = [length for _, length, *_ in undisturbed.cracks]
    drawn_m = 9.0  # along, across, and a fork, on a strip of 6.4 m x 3.2 m
    assert 0.6 * drawn_m < sum(lengths) < 1.6 * drawn_m


def test_cells_of_the_usual_size_keep_every_process_small(place: Place) -> None:
    serving = place.serving()
    survey = place.new_survey(scene=cracked_strip(4600, 2300), cell_px=2048)
    place.wait_done(survey)
    peaks = {process.name(): peak_bytes(process) for process in serving.family()}
    assert max(peaks.values()) < MEMORY_BYTES, peaks


def test_a_killed_surveyor_is_replaced_and_its_cells_are_done_again(
    place: Place, undisturbed: Figures
) -> None:
    serving = place.serving()
    survey = place.new_survey()
    with place.midway(survey):
        surveyor = serving.replica("Surveyor")
        assert surveyor is not None
        surveyor.kill()
    place.wait_done(survey).assert_same(undisturbed)


def test_a_surveyor_told_to_end_gives_its_cells_back_uncharged(
    place: Place, undisturbed: Figures
) -> None:
    serving = place.serving()
    survey = place.new_survey()
    with place.midway(survey):
        surveyor = serving.replica("Surveyor")
        assert surveyor is not None
        surveyor.terminate()
    place.wait_done(survey).assert_same(undisturbed)
    assert progress(place.engine, survey).retries == 0


def test_a_killed_detector_is_replaced_and_no_cell_is_charged(
    place: Place, undisturbed: Figures
) -> None:
    serving = place.serving()
    survey = place.new_survey()
    with place.midway(survey):
        detector = serving.replica("Detector")
        assert detector is not None
        detector.kill()
    place.wait_done(survey).assert_same(undisturbed)
    after = progress(place.engine, survey)
    assert (after.failed, after.retries) == (0, 0), serving.log_of("Surveyor")


def test_a_survey_outlives_the_death_of_every_process(place: Place, undisturbed: Figures) -> None:
    serving = place.serving()
    survey = place.new_survey()
    with place.midway(survey):
        family = serving.family()
        serving.kill()
        assert not [process for process in family if process.is_running() and alive(process)]
        left = progress(place.engine, survey)
        assert left.done < left.cells_total
    time.sleep(0.5)
    assert progress(place.engine, survey) == left
    place.serving()
    place.wait_done(survey).assert_same(undisturbed)


def test_a_survey_outlives_a_restart_of_the_database(place: Place, undisturbed: Figures) -> None:
    place.serving()
    survey = place.new_survey()
    place.wait_midway(survey)
    place.postgres.stop()
    time.sleep(3.0)
    place.postgres.start()
    place.wait_done(survey).assert_same(undisturbed)
    assert progress(place.engine, survey).failed == 0


def test_a_promotion_fails_no_request_and_is_taken_back(place: Place, tmp_path: Path) -> None:
    serving = place.serving()
    folder = tmp_path / "model"
    shutil.copytree(default_model_folder(), folder)
    card = default_card().model_copy(update={"name": "successor"})
    write_card(card, folder)
    with database(place.engine) as conn:
        store = ModelStore(place.storage)
        successor = register(conn, folder, store=store).id
        models.promote_model(conn, successor, store)
    codes: Counter[int] = Counter()
    ended = threading.Event()
    body = png_of(asphalt(300, 200, seed=5))

    def ask() -> None:
        with httpx.Client(timeout=60) as client:
            while not ended.is_set():
                codes[client.post(f"{serving.url}/detect", content=body).status_code] += 1

    def follows(model_id: str) -> Callable[[], bool]:
        return lambda: (
            httpx.get(f"{serving.url}/healthz", timeout=60).json()["model_id"] == model_id
        )

    askers = [
        threading.Thread(target=ask) for _ in range(2)
    ]  # a full queue would refuse more (429)
    for asker in askers:
        asker.start()
    try:
        wait_until(follows(successor), within_s=60, what="the Detector follows the promotion")
        with database(place.engine) as conn:
            models.take_back(conn)
        former = default_card().model_id
        wait_until(follows(former), within_s=60, what="the Detector follows the way back")
    finally:
        ended.set()
        for asker in askers:
            asker.join()
    assert set(codes) == {200}


def test_imagery_that_can_not_be_read_fails_its_cells_alone(place: Place) -> None:
    place.serving()
    survey = place.new_survey(plan=False)
    assert place.storage.folder is not None
    tile = sorted((place.storage.folder / "orthophotos" / str(survey.id)).iterdir())[0]
    content = bytearray(tile.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\x00" * 4000
    tile.write_bytes(content)
    with database(place.engine) as conn:
        planning.plan_cells(conn, survey)
    found = place.wait_done(survey)
    after = progress(place.engine, survey)
    assert 0 < after.failed < after.cells_total / 2
    assert after.done + after.failed == after.cells_total
    with database(place.engine) as conn:
        failed, _ = cells.cells_page(conn, survey.id, state="failed")
    assert {cell.attempts for cell in failed} == {3}
    assert all("damaged" in cell.error.lower() or cell.error for cell in failed)
    assert found.sums[-1] > 0


def test_an_orderly_stop_gives_cells_back_uncharged_and_leaves_no_process(place: Place) -> None:
    serving = place.serving()
    survey = place.new_survey()
    with place.midway(survey):
        assert serving.stop() == 0
    left = progress(place.engine, survey)
    assert (left.leased, left.retries) == (0, 0)
    assert left.waiting > 0


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    done, body = cv2.imencode(".png", pixels[:, :, ::-1])
    assert done
    return body.tobytes()


def peak_bytes(process: psutil.Process) -> float:
    """Return the most memory a process has held."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    return max((1024.0 * int(ln.split()[1]) for ln in lines if ln.startswith("VmHWM")), default=0.0)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
