"""Alerts and the dashboard ask for figures that the running parts give."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from helm_chart import (
    API_FIGURES,
    GRID,
    OWN_DATABASE,
    RAY_FIGURES,
    Object,
    containers,
    only,
    ray_service,
    render,
)
from pavemap.platform.api.observe import QUIET


def dashboard(objects: list[Object]) -> Object:
    held: Object = json.loads(only(objects, "ConfigMap", "-dashboard")["data"]["pavemap.json"])
    return held


def questions(objects: list[Object]) -> Iterator[str]:
    """Yield every PromQL expression of an installation."""
    for group in only(objects, "PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]
    for panel in dashboard(objects)["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def test_every_figure_asked_for_is_given() -> None:
    objects = render(GRID["plugin backups"])
    asked = {
        name for expr in questions(objects) for name in re.findall(r"\b(?:ray_)?pavemap_\w+", expr)
    }
    assert asked == API_FIGURES | RAY_FIGURES


def test_every_question_is_whole() -> None:
    for expr in questions(render(OWN_DATABASE)):
        for opening, closing in ("()", "{}", "[]"):
            assert expr.count(opening) == expr.count(closing), expr
        assert "{{" not in expr


def test_alerts_say_what_to_do() -> None:
    objects = render(GRID["plugin backups"])
    (group,) = only(objects, "PrometheusRule")["spec"]["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert "PavemapBackupOld" in names
    for rule in group["rules"]:
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["description"]) > 30
        assert rule["labels"]["severity"] in {"warning", "critical"}
    (plain,) = only(render(OWN_DATABASE), "PrometheusRule")["spec"]["groups"]
    assert "PavemapBackupOld" not in [rule["alert"] for rule in plain["rules"]]


def test_probes_and_scrapes_are_no_requests_that_may_fail() -> None:
    """An API that few people ask would else answer well for the most part, whatever it tells them."""
    (group,) = only(render(OWN_DATABASE), "PrometheusRule")["spec"]["groups"]
    (alert,) = [rule for rule in group["rules"] if rule["alert"] == "PavemapApiErrors"]
    failed, counted = re.findall(r"pavemap_http_requests_total\{(.*?)\}", alert["expr"])
    assert failed == f'{counted},status=~"5.."'
    (routes,) = re.findall(r'route!~"(.*?)"', counted)
    assert set(routes.split("|")) == QUIET


def test_monitors_find_what_they_are_for() -> None:
    objects = render(OWN_DATABASE)
    service = only(objects, "Service", "-api")
    monitor = only(objects, "ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    pods = only(objects, "PodMonitor", "-ray")["spec"]
    assert only(objects, "PodMonitor", "-ray")["metadata"]["labels"]["release"] == "prometheus"
    cluster = ray_service(OWN_DATABASE)["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = group["template"]
        assert pods["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        (container,) = containers(template["spec"])
        assert "metrics" in {port["name"] for port in container["ports"]}
    assert (
        only(objects, "ConfigMap", "-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"
    )


@pytest.mark.parametrize(
    ("backups", "figure"),
    [
        ("plugin backups", "barman_cloud_cloudnative_pg_io_last_available_backup_timestamp"),
        ("snapshot backups", "cnpg_collector_last_available_backup_timestamp"),
    ],
)
def test_old_backups_are_told_by_who_makes_them(backups: str, figure: str) -> None:
    """CloudNativePG's own figure stays 0 beside the plugin; a figure that nobody fetches is an alarm."""
    objects = render(GRID[backups])
    (group,) = only(objects, "PrometheusRule")["spec"]["groups"]
    (alert,) = [rule for rule in group["rules"] if rule["alert"] == "PavemapBackupOld"]
    assert set(re.findall(r"\w+_last_available_backup_timestamp", alert["expr"])) == {figure}
    assert "or absent(" in alert["expr"]
    monitor = only(objects, "PodMonitor", "-db")
    name = only(objects, "Cluster")["metadata"]["name"]
    assert monitor["spec"]["selector"]["matchLabels"] == {"cnpg.io/cluster": name}
    assert f'pod=~"{name}-.+"' in alert["expr"]
    policy = only(objects, "NetworkPolicy", "-db")
    assert any({"port": 9187} in rule["ports"] for rule in policy["spec"]["ingress"])


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(render(OWN_DATABASE))["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
