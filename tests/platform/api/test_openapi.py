"""The OpenAPI description: complete, with examples, and true; and what the API process must not load."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from pydantic import BaseModel

from api_world import API, faults
from pavemap.platform.api import schemas

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def document(module_settings: Any) -> dict[str, Any]:
    from api_world import serving

    with serving(module_settings) as client:
        answer = client.get("/openapi.json")
    assert answer.status_code == 200
    described: dict[str, Any] = answer.json()
    return described


def test_the_page_of_the_api_loads_nothing_from_elsewhere(module_settings: Any) -> None:
    from api_world import serving

    with serving(module_settings) as client:
        page = client.get("/docs").text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) >= 2
        for path in loaded:
            assert path.startswith("/static")
            assert client.get(path).status_code == 200
        assert client.get("/redoc").status_code == 404  # it would load a picture from its makers


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            yield f"{method.upper()} {path}", item[method]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def test_the_operations_of_the_issue_are_there(document: dict[str, Any]) -> None:
    named = {name for name, _ in operations(document)}
    assert named >= {
        f"POST {API}/networks",
        f"GET {API}/networks",
        f"GET {API}/networks/{{network}}",
        f"POST {API}/surveys",
        f"GET {API}/surveys",
        f"GET {API}/surveys/{{survey_id}}",
        f"PUT {API}/surveys/{{survey_id}}/orthophotos/{{name}}",
        f"POST {API}/surveys/{{survey_id}}/run",
        f"GET {API}/surveys/{{survey_id}}/segments",
        f"GET {API}/surveys/{{survey_id}}/cracks",
        f"GET {API}/surveys/{{survey_id}}/summary",
        f"GET {API}/segments/{{segment_id}}/conditions",
        f"POST {API}/training-jobs",
        f"GET {API}/training-jobs/{{job_id}}",
        f"GET {API}/training-jobs/{{job_id}}/logs",
        f"DELETE {API}/training-jobs/{{job_id}}",
        "GET /healthz",
        "GET /readyz",
    }


def test_every_operation_is_told_and_has_its_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        (tag,) = operation["tags"]
        assert tag in {each["name"] for each in document["tags"]}, name
        failures = {
            status: answer for status, answer in operation["responses"].items() if status >= "400"
        }
        assert set(failures) >= {"422", "500", "503"}, name
        for status, answer in failures.items():
            assert answer["description"], (name, status)
            (media_type,) = answer["content"]
            assert media_type == "application/problem+json", (name, status)
            schema = answer["content"][media_type]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
        assert ("403" in failures) == (not name.startswith("GET")), name
        if "{survey_id}" in name or "{job_id}" in name or "{network}" in name:
            assert "404" in failures, name


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_bodies_and_answers_have_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Problem"]["examples"]
    without = {
        name
        for name, content in documents(document)
        for reference in references(content["schema"])
        if not (content.get("examples") or schemas[reference.rpartition("/")[2]].get("examples"))
    }
    assert without <= {"healthz", "readyz"}  # of one word, which their schema has


def documents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The bodies and good answers that are JSON, by operation."""
    for _, operation in operations(document):
        told = [operation.get("requestBody", {})]
        told += [answer for status, answer in operation["responses"].items() if status < "400"]
        for each in told:
            for kind, content in each.get("content", {}).items():
                if "json" in kind and "schema" in content:
                    yield operation["operationId"], content


def test_operations_are_called_by_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    assert {"list_segments", "create_survey", "put_orthophoto", "get_summary"} <= set(names)


def test_parameters_are_told(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])


@pytest.mark.parametrize("name", ["TrainingJobOut", "SegmentChangeProperties"])
def test_fields_that_no_name_explains_are_told(document: dict[str, Any], name: str) -> None:
    for field, schema in document["components"]["schemas"][name]["properties"].items():
        assert schema.get("description"), field


def test_headers_are_told(document: dict[str, Any]) -> None:
    made = {"create_survey", "put_orthophoto", "submit_job", "import_network", "add_model"}
    for _, operation in operations(document):
        answers = operation["responses"]
        assert all("X-Request-ID" in answer["headers"] for answer in answers.values())
        assert "Retry-After" in answers["503"]["headers"]
        if operation["operationId"] in made:
            assert "Location" in answers["201"]["headers"]
    tile = document["paths"][f"{API}/surveys/{{survey_id}}/tiles/{{z}}/{{x}}/{{y}}.mvt"]["get"]
    assert all("ETag" in tile["responses"][status]["headers"] for status in ("200", "204", "304"))


@pytest.mark.parametrize(
    "module", list(pkgutil.iter_modules(schemas.__path__)), ids=lambda m: m.name
)
def test_examples_are_what_their_schema_says(module: pkgutil.ModuleInfo) -> None:
    for model in vars(importlib.import_module(f"{schemas.__name__}.{module.name}")).values():
        if isinstance(model, type) and issubclass(model, BaseModel):
            extra = model.model_config.get("json_schema_extra") or {}
            assert isinstance(extra, dict)
            for example in cast("list[Any]", extra.get("examples", [])):
                model.model_validate(example)


def test_what_the_description_shows_is_what_it_says(document: dict[str, Any]) -> None:
    shown = [
        (name, {"$ref": f"#/components/schemas/{name}"}, example)
        for name, schema in document["components"]["schemas"].items()
        for example in schema.get("examples", [])
    ]
    shown += [
        (name, content["schema"], example["value"])
        for name, content in documents(document)
        for example in content.get("examples", {}).values()
    ]
    assert len(shown) > 20
    for name, schema, example in shown:
        assert faults(document, schema, example) == [], name


def test_files_are_bodies(document: dict[str, Any]) -> None:
    upload = document["paths"][f"{API}/surveys/{{survey_id}}/orthophotos/{{name}}"]["put"]
    assert "image/tiff" in upload["requestBody"]["content"]
    network = document["paths"][f"{API}/networks"]["post"]
    assert "multipart/form-data" in network["requestBody"]["content"]


def test_the_pages_of_it_are_served(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200


def test_the_app_loads_nothing_heavy() -> None:
    code = """
import pathlib, sys, tempfile
from pydantic import SecretStr
from pavemap.platform.api.main import create_app
from pavemap.platform.settings import Settings
url = SecretStr("postgresql://nobody:x@127.0.0.1:1/none")
app = create_app(Settings(home=pathlib.Path(tempfile.mkdtemp()), database_url=url))
app.openapi()
print(sorted({"torch", "ray", "numba", "scipy", "matplotlib", "skimage"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
