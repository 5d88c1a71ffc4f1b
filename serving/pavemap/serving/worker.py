"""One worker of a survey: claims a cell, surveys it, stores it; measures a survey that has no cell left.

Nothing here knows of Ray. Whatever may be away (database, storage, Detector) raises Unavailable and
costs a cell no attempt; an error that a cell brings about itself is charged to this cell alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Engine

from pavemap.geo.errors import DamagedRaster, NotFound, PavemapError, StorageFull, Unavailable
from pavemap.geo.imagery.mosaic import close_files
from pavemap.geo.logs import about, note_ids
from pavemap.geo.storage import Storage
from pavemap.geo.store import cells, leases, measuring, measuring_leases, workers
from pavemap.geo.store.engine import database
from pavemap.geo.store.leases import ClaimedCell
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.storage_identity import check_identity
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import CellResult, Detect, survey_cell
from pavemap.serving.backoff import Backoff
from pavemap.serving.inputs import read_inputs

log = logging.getLogger(__name__)

Result = TypeVar("Result")

ObserveCell = Callable[[str, Mapping[str, float]], None]
"""Told of every cell: its outcome (done, failed, dropped) and its seconds by stage."""

AWAY = (Unavailable, StorageFull)
"""What passes without a change to the cell: something is away, or the database's disk is full."""

_UPLOAD_AGAIN = "upload this orthophoto again (pavemap survey upload --again)"


@dataclass(frozen=True, kw_only=True)
class WorkRules:
    """What a worker claims, and how it treats it."""

    model_id: str | None = None
    """Only surveys of this model version are worked at. None takes any."""
    lease_s: float
    """A lease that is not kept alive for so long is over."""
    max_attempts: int
    """Errors after which a cell is failed."""
    retry_after_s: float
    """How long a cell rests after its first error, before another worker tries; doubled after each.

    So long rests as well what could not be done because something was away.
    """


class CellWorker:
    """Works on one thing at a time; any number of them, anywhere, share a database."""

    def __init__(
        self,
        engine: Engine,
        *,
        storage: Storage,
        detect_with: Callable[[str], Detect],
        name: str,
        rules: WorkRules,
        stop: threading.Event | None = None,
        observe: ObserveCell = lambda _outcome, _seconds: None,
    ) -> None:
        """Take what the work needs; `name` owns the leases and must be no other worker's.

        `detect_with` gives the detection by a model version, named by its id.
        """
        self.name = name
        self._engine = engine
        self._storage = storage
        self._detect_with = detect_with
        self._rules = rules
        self._observe = observe
        self._stop = stop or threading.Event()
        self._trail = leases.Trail()
        self._progress_at: float | None = None
        self._balked = False  # what was tried last could not be done for now
        self._owes = False  # maybe a lease that it doesn't know of: nothing may keep that alive

    @property
    def since_progress_s(self) -> float:
        """Seconds since the present piece of work was claimed or moved on; 0 when there is none."""
        at = self._progress_at
        return 0.0 if at is None else time.monotonic() - at

    def run_once(self) -> bool:
        """Survey one cell or measure one survey; False when there is nothing to do.

        Raises Unavailable when something all work needs is away; what was claimed is given back.
        """
        self._note_progress()
        try:
            if self._owes:
                self.give_back()
            worked = self._work_once()
            self._balked = False
            return worked
        except AWAY:
            self._balked = True
            self._owes = True  # as when a claim was stored, but its acknowledgement never came
            raise
        except Exception as exc:  # a fault of ours: what it struck rests too, and bears its name
            self._balked = True
            self._owes = True
            self._give_back_if_possible(exc)
            raise
        finally:
            self._progress_at = None

    def _work_once(self) -> bool:
        """Measure first, or a survey would wait for its figures until all others are surveyed.

        But after what could not be done comes a cell that nothing is known against, if there is one.
        """
        if self._balked and self._survey_next(fresh=True):
            return True
        with database(self._engine) as conn:
            survey = measuring_leases.claim_measuring(
                conn, worker=self.name, lease_s=self._rules.lease_s
            )
            if survey is not None:  # a claim of cells notes it by itself
                workers.note_seen(conn, self.name, model_id=self._rules.model_id)
        if survey is not None:
            with about(survey_id=str(survey.id)):
                self._measure(survey)
            return True
        if self._survey_next():
            return True
        close_files()
        return False

    def _survey_next(self, *, fresh: bool = False) -> bool:
        with database(self._engine) as conn:
            claimed = leases.claim(
                conn,
                worker=self.name,
                lease_s=self._rules.lease_s,
                limit=1,
                model_id=self._rules.model_id,
                fresh=fresh,
                trail=self._trail,
            )
        for one in claimed:
            with about(survey_id=str(one.survey_id), cell=f"{one.cell.col},{one.cell.row}"):
                self._survey(one)
        return bool(claimed)

    def keep_lease(self) -> None:
        """Keep alive the lease on whatever this worker is at. Raises Unavailable."""
        if self._progress_at is not None:
            with database(self._engine) as conn:
                leases.heartbeat(conn, worker=self.name, lease_s=self._rules.lease_s)

    def give_back(self, *, rest_s: float = 0.0, error: str = "") -> None:
        """Free everything this worker holds, at no charge, to rest for a while. Raises Unavailable."""
        with database(self._engine) as conn:
            leases.release(conn, self.name, rest_s=rest_s, error=error)
        self._owes = False

    def _survey(self, claimed: ClaimedCell) -> None:
        started = time.monotonic()
        tiles: tuple[OrthophotoRow, ...] = ()
        try:
            with database(self._engine) as conn:
                inputs = read_inputs(conn, claimed, storage=self._storage)
            tiles = inputs.orthophotos
            note_ids(orthophotos=tuple(tile.name for tile in tiles))
            result = survey_cell(
                claimed.cell,
                grid=inputs.grid,
                mosaic=inputs.mosaic,
                pavements=inputs.pavements,
                detect=self._detect_with(inputs.model_id),
                params=inputs.params,
            )
            computed = time.monotonic()
            stored = self._complete(claimed, result, made_of=inputs.digest)
            seconds = {**result.seconds, "store": time.monotonic() - computed}
        except Exception as exc:
            self._fail(claimed, self._diagnosed(exc, tiles))
            self._observe("failed", {})
            return
        self._observe("done" if stored else "dropped", seconds)
        log.info(
            "cell %s in %.1f s (%s): %d lines",
            "done" if stored else "was another's by then; result dropped,",
            time.monotonic() - started,
            ", ".join(f"{step} {spent:.2f}" for step, spent in seconds.items()),
            len(result.lines),
        )

    def _measure(self, survey: SurveyRow) -> None:
        started = time.monotonic()
        try:
            with database(self._engine) as conn:
                measuring.measure_survey(conn, survey, on_progress=self._note_progress)
        except AWAY as exc:
            self._give_back_if_possible(exc)
            raise
        except Exception as exc:
            log.exception("the survey can't be measured")
            error = _sentence(exc)
            self._insist(
                lambda conn: measuring_leases.finish_survey(
                    conn, survey, state="failed", error=error
                )
            )
            return
        log.info("survey measured in %.1f s", time.monotonic() - started)

    def _note_progress(self) -> None:
        self._progress_at = time.monotonic()

    def _complete(self, claimed: ClaimedCell, result: CellResult, *, made_of: str) -> bool:
        return self._insist(
            lambda conn: cells.complete(
                conn, claimed=claimed, result=result, worker=self.name, made_of=made_of
            )
        )

    def _fail(self, claimed: ClaimedCell, error: Exception) -> None:
        log.error("cell failed at attempt %d", claimed.attempt, exc_info=error)
        self._insist(
            lambda conn: cells.fail(
                conn,
                claimed=claimed,
                worker=self.name,
                error=_sentence(error),
                max_attempts=self._rules.max_attempts,
                retry_after_s=self._rules.retry_after_s,
            )
        )

    def _insist(self, step: Callable[[Connection], Result]) -> Result:
        """Store what was computed; it is too dear to be thrown away because the database restarts."""
        pauses = Backoff()
        while True:
            try:
                with database(self._engine) as conn:
                    return step(conn)
            except AWAY as exc:
                pause_s = pauses.next_s()
                log.warning(
                    "%s keeps a result and tries again in %.1f s: %s", self.name, pause_s, exc
                )
                if self._stop.wait(pause_s):
                    raise

    def _give_back_if_possible(self, because: Exception) -> None:
        """Free what this worker holds, at no charge; it rests, so that one thing away holds up no other."""
        try:
            if self._stop.is_set():
                self.give_back()
            else:
                self.give_back(rest_s=self._rules.retry_after_s, error=_sentence(because))
        except AWAY:
            log.info("%s could not give its lease back; it does before it claims again", self.name)

    def _diagnosed(self, error: Exception, tiles: Sequence[OrthophotoRow]) -> Exception:
        """Return the error to charge the cell with: that its imagery is lost or cut short, if it is.

        Raises, the cell given back, what is no fault of the cell: storage does not answer or is not
        the one that has the imagery, or something else that all work needs is away.
        """
        try:
            lost = next(filter(None, (_loss(tile, self._storage) for tile in tiles)), None)
            if lost:  # or another storage, or none, is in its place
                with database(self._engine) as conn:
                    check_identity(conn, self._storage)
        except AWAY as exc:
            self._give_back_if_possible(exc)
            raise exc from error
        if lost:
            return lost
        if isinstance(error, AWAY):
            self._give_back_if_possible(error)
            raise error
        return error


def _loss(tile: OrthophotoRow, storage: Storage) -> PavemapError | None:
    """Return what is wrong with the stored file of an orthophoto, as its size shows. Raises Unavailable."""
    size, whole = storage.size(tile.key), tile.info.stored_bytes
    if size is None:
        return NotFound(f"{tile.name} is not in storage any more; {_UPLOAD_AGAIN}")
    if whole is not None and size != whole:
        return DamagedRaster(
            f"{tile.name} is damaged in storage ({size:,} of {whole:,} bytes); {_UPLOAD_AGAIN}"
        )
    return None


def _sentence(error: Exception) -> str:
    """Return what a row shows of an error: its kind and its message, without a traceback."""
    return f"{type(error).__name__}: {error}"
