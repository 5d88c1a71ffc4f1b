"""The optional dependency: everything works without it, and a script puts the real one in place."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from helm_chart import CHART, HELM, NORM, ROOT, helm, template

SCRIPT = ROOT / "scripts" / "vendor_kuberay.sh"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    """A chart repository with a kuberay-operator of the version that the chart wants."""
    (wanted,) = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]
    chart = tmp_path / "kuberay-operator"
    (chart / "templates").mkdir(parents=True)
    described = {"apiVersion": "v2", "name": wanted["name"], "version": wanted["version"]}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(described))
    (chart / "templates" / "x.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: the-operator}\n"
    )
    served = tmp_path / "served"
    assert helm("package", str(chart), "--destination", str(served)).returncode == 0
    assert helm("repo", "index", str(served)).returncode == 0
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A copy of the chart, to be changed."""
    return Path(shutil.copytree(CHART, tmp_path / "pavemap"))


def vendor(chart: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{HELM.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [SCRIPT, chart], env=environment, capture_output=True, text=True, check=False
    )


def from_(chart: Path, repository: str) -> None:
    """Let the chart take its dependency from there."""
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    described["dependencies"][0]["repository"] = repository
    (chart / "Chart.yaml").write_text(yaml.safe_dump(described))


def test_the_operator_is_vendored_and_then_comes_along(chart: Path, repository: str) -> None:
    from_(chart, repository)
    done = vendor(chart)
    assert done.returncode == 0, done.stderr
    with_it = template(NORM.with_values("kuberay-operator.enabled=true"), chart=chart)
    assert with_it.returncode == 0, with_it.stderr
    assert "the-operator" in with_it.stdout
    without = template(NORM, chart=chart)
    assert without.returncode == 0, without.stderr
    assert "the-operator" not in without.stdout


def test_without_the_network_the_chart_stays_as_it_is(chart: Path) -> None:
    from_(chart, "http://127.0.0.1:1")
    assert vendor(chart).returncode != 0
    assert template(NORM, chart=chart).returncode == 0
