"""Model versions: sent, compared, promoted, taken back; surveys use the one in use."""

from __future__ import annotations

import json
import shutil
import uuid
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from api_world import API, World, import_street
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import get_survey
from pavemap.platform.settings import Settings
from pavemap.training.models.card import CARD_FILE, WEIGHTS_FILE, read_card, write_card
from pavemap.training.models.model_archive import pack_model
from pavemap.training.models.shipped_models import (
    default_card,
    default_model_folder,
    shipped_model_folders,
)
from training.model_folders import write_model_folder

MODELS = f"{API}/models"
SCORED = [score["data"] for score in default_card().metrics["tests"]]


def packed(folder: Path, *, f1: float | None, name: str = "new") -> bytes:
    """A small model's ZIP, scored `f1` on the first test set of the shipped default."""
    write_model_folder(folder)
    card = read_card(folder)
    same = {name: default_card().metrics["tests"][0][name] for name in ("data", "sha256")}
    tests = [] if f1 is None else [{**same, "mean": {"f1": f1}}]
    write_card(card.model_copy(update={"name": name, "metrics": {"tests": tests}}), folder)
    archive = folder.with_suffix(".zip")
    pack_model(folder, archive)
    return archive.read_bytes()


def send(client: httpx.Client, content: bytes) -> dict[str, Any]:
    answer = client.post(MODELS, content=content)
    assert answer.status_code == 201, answer.text
    sent: dict[str, Any] = answer.json()
    return sent


def in_use(client: httpx.Client) -> list[str]:
    return [model["id"] for model in client.get(MODELS).json() if model["in_use"]]


def survey_model(client: httpx.Client, name: str) -> str:
    answer = client.post(f"{API}/surveys", json={"name": name, "network": "street"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["model"])


def test_the_shipped_models_are_there_and_the_default_is_in_use(client: httpx.Client) -> None:
    listed = client.get(MODELS).json()
    assert {model["id"] for model in listed} == {
        read_card(one).model_id for one in shipped_model_folders()
    }
    assert in_use(client) == [default_card().model_id]
    one = client.get(f"{MODELS}/{default_card().model_id}").json()
    assert one["card"]["digest"] == default_card().digest
    assert set(one["f1"]) == set(SCORED)


def test_a_newer_package_brings_its_cards(client: httpx.Client, engine: Engine) -> None:
    """The weights are the package's, so what an older one said of them must not go on."""
    chosen = default_card()
    client.get(MODELS)
    written = text("SELECT xmin::text FROM model_version WHERE id = :id")
    outdated = text("UPDATE model_version SET card = card || :other WHERE id = :id")
    with database(engine) as connection:
        connection.execute(outdated, {"other": '{"threshold": 0.9}', "id": chosen.model_id})
    one = client.get(f"{MODELS}/{chosen.model_id}").json()
    assert one["card"]["threshold"] == chosen.threshold
    with database(engine) as connection:
        before = connection.scalar(written, {"id": chosen.model_id})
    client.get(MODELS)
    with database(engine) as connection:
        assert connection.scalar(written, {"id": chosen.model_id}) == before  # same is left alone


def test_it_brings_them_to_storage_where_the_model_was_put(
    client: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    older = default_card().model_copy(update={"threshold": 0.9})
    shutil.copytree(default_model_folder(), tmp_path / "older")
    write_card(older, tmp_path / "older")
    pack_model(tmp_path / "older", tmp_path / "older.zip")
    model = send(client, (tmp_path / "older.zip").read_bytes())["id"]
    client.get(f"{MODELS}/{model}")
    kept = Path(settings.storage_location) / "models" / model
    assert read_card(kept) == default_card()


def test_another_card_of_a_version_is_refused_with_advice(
    client: httpx.Client, tmp_path: Path
) -> None:
    sent = send(client, packed(tmp_path / "model", f1=0.9))
    refused = client.post(MODELS, content=packed(tmp_path / "edited", f1=0.95))
    assert refused.status_code == 409
    assert 'another "name"' in refused.json()["detail"]
    scores = client.get(f"{MODELS}/{sent['id']}").json()["card"]["metrics"]["tests"]
    assert scores[0]["mean"]["f1"] == 0.9


def test_cells_of_a_survey_overlap_as_far_as_its_model_sees(
    client: httpx.Client, tmp_path: Path, engine: Engine
) -> None:
    import_street(client, tmp_path)
    folder = write_model_folder(tmp_path / "wide", arguments={"context": True})
    pack_model(folder, tmp_path / "wide.zip")
    model = send(client, (tmp_path / "wide.zip").read_bytes())["id"]
    fields = {"name": "far", "network": "street", "model": model}
    survey = client.post(f"{API}/surveys", json=fields).json()["id"]
    near = client.post(f"{API}/surveys", json={**fields, "model": "fan2018"}).json()["id"]
    with engine.connect() as connection:
        halos = [get_survey(connection, uuid.UUID(one)).halo_px for one in (survey, near)]
    assert halos == [128, 64]


def test_a_better_model_is_promoted_used_and_taken_back(
    client: httpx.Client, tmp_path: Path
) -> None:
    import_street(client, tmp_path)
    content = packed(tmp_path / "model", f1=0.999)
    sent = send(client, content)
    assert send(client, content) == sent
    assert not sent["in_use"]
    shipped_id = default_card().model_id
    assert survey_model(client, "before") == shipped_id
    promoted = client.post(f"{MODELS}/{sent['id']}/promote")
    assert promoted.status_code == 200, promoted.text
    assert promoted.json()["former_id"] == shipped_id
    assert not promoted.json()["forced"]
    assert promoted.json()["comparison"]["gain"] > 0
    assert in_use(client) == [sent["id"]]
    assert survey_model(client, "after") == sent["id"]
    back = client.delete(f"{MODELS}/promotions/latest")
    assert back.status_code == 200, back.text
    assert in_use(client) == [shipped_id]
    assert survey_model(client, "again") == shipped_id
    history = client.get(f"{MODELS}/promotions").json()
    assert [row["model_id"] for row in history] == [shipped_id, sent["id"]]


def test_taking_back_again_goes_further_back_and_never_forth(
    client: httpx.Client, tmp_path: Path
) -> None:
    def sent(name: str, seed: int) -> str:
        folder = write_model_folder(tmp_path / name, seed=seed)
        pack_model(folder, tmp_path / f"{name}.zip")
        return str(send(client, (tmp_path / f"{name}.zip").read_bytes())["id"])

    def promote(model: str) -> None:
        answer = client.post(f"{MODELS}/{model}/promote", json={"force": True})
        assert answer.status_code == 200, answer.text

    def take_back() -> list[str]:
        answer = client.delete(f"{MODELS}/promotions/latest")
        assert answer.status_code == 200, answer.text
        return in_use(client)

    shipped_id = default_card().model_id
    first, second = sent("first", 1), sent("second", 2)
    promote(first)
    promote(second)
    assert take_back() == [first]
    promote(second)
    assert take_back() == [first]
    assert take_back() == [shipped_id]
    left = client.delete(f"{MODELS}/promotions/latest")
    assert left.status_code == 409
    assert in_use(client) == [shipped_id]


def test_taking_back_a_named_promotion_twice_is_once(client: httpx.Client, tmp_path: Path) -> None:
    """Proxies send a DELETE again when its answer was lost."""
    latest, ids = f"{MODELS}/promotions/latest", []
    assert client.get(latest).status_code == 404
    for name, seed in (("first", 1), ("second", 2)):
        folder = write_model_folder(tmp_path / name, seed=seed)
        pack_model(folder, tmp_path / f"{name}.zip")
        model = send(client, (tmp_path / f"{name}.zip").read_bytes())["id"]
        made = client.post(f"{MODELS}/{model}/promote", json={"force": True}).json()
        assert client.get(latest).json() == made
        ids.append(made["id"])
    before = in_use(client)
    refused = client.delete(latest, params={"of": ids[0]})
    assert refused.status_code == 409
    assert before[0] in refused.json()["detail"]
    back = [client.delete(latest, params={"of": ids[1]}).json() for _ in range(2)]
    assert back[0] == back[1]
    assert in_use(client) == [back[0]["model_id"]] != before
    assert client.get(latest).json()["id"] == ids[0]


@pytest.mark.parametrize("f1", [0.01, None], ids=["worse", "not scored"])
def test_what_is_not_shown_to_be_better_must_be_forced(
    client: httpx.Client, tmp_path: Path, f1: float | None
) -> None:
    sent = send(client, packed(tmp_path / "model", f1=f1))
    refused = client.post(f"{MODELS}/{sent['id']}/promote")
    assert refused.status_code == 409
    assert "force it" in refused.json()["detail"]
    assert in_use(client) == [default_card().model_id]
    forced = client.post(f"{MODELS}/{sent['id']}/promote", json={"force": True})
    assert forced.status_code == 200
    assert forced.json()["forced"]
    assert in_use(client) == [sent["id"]]


def test_promoting_what_is_in_use_leaves_nothing_to_take_back(client: httpx.Client) -> None:
    shipped_id = default_card().model_id
    assert client.post(f"{MODELS}/{shipped_id}/promote").status_code == 200
    assert client.delete(f"{MODELS}/promotions/latest").status_code == 409
    assert in_use(client) == [shipped_id]


def test_nothing_to_take_back_and_nothing_of_that_name(client: httpx.Client) -> None:
    assert client.delete(f"{MODELS}/promotions/latest").status_code == 409
    assert client.get(f"{MODELS}/nobody-00000000").status_code == 404
    assert client.post(f"{MODELS}/nobody-00000000/promote").status_code == 404


def test_what_is_no_model_is_refused_and_nothing_is_kept(world: World, tmp_path: Path) -> None:
    client = world.client
    before = client.get(MODELS).json()
    pickled = tmp_path / "pickled.zip"
    with zipfile.ZipFile(pickled, "w") as archive:
        archive.writestr("weights.pt", b"\x80\x04")
        archive.writestr("../../card.json", b"{}")
    exchanged = tmp_path / "exchanged.zip"
    with zipfile.ZipFile(exchanged, "w") as archive:
        archive.write(default_model_folder() / CARD_FILE, CARD_FILE)
        archive.writestr(WEIGHTS_FILE, b"other weights")
    no_card = tmp_path / "no_card.zip"
    with zipfile.ZipFile(no_card, "w") as archive:
        archive.writestr(CARD_FILE, json.dumps({"name": "x"}))
        archive.write(default_model_folder() / WEIGHTS_FILE, WEIGHTS_FILE)
    said = {
        b"hello": "no ZIP",
        pickled.read_bytes(): "has no card.json",
        exchanged.read_bytes(): "is not the file its card describes",
        no_card.read_bytes(): "is not valid",
    }
    for content, words in said.items():
        answer = client.post(MODELS, content=content)
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]
    assert client.get(MODELS).json() == before
