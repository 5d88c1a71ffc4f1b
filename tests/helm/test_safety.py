"""No pod may do more than it must, no secret stands in the open, and no name is too long."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from helm_chart import (
    BUCKET,
    GPU,
    GRID,
    NORM,
    OWN_DATABASE,
    TRIAL,
    Install,
    Object,
    containers,
    only,
    pod_specs,
    ray_service,
    rayjob_template,
    render,
)

SECRET_NAMES = re.compile(r"(PASSWORD|TOKEN|SECRET|ACCESS_KEY|DATABASE_URL)$")


@pytest.mark.parametrize("install", GRID.values(), ids=GRID)
def test_every_pod_meets_the_restricted_standard(install: Install) -> None:
    """And more than it: no root file system is writable, no token lies about that nobody uses."""
    found = dict(pod_specs(render(install)))
    assert len(found) >= 4
    for where, pod in found.items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert container["resources"]["limits"]["memory"], where
            assert any(m["mountPath"] == "/tmp" for m in container["volumeMounts"]), where
    tokens = {
        where for where, pod in found.items() if pod.get("automountServiceAccountToken", True)
    }
    # The autoscaler beside the serving head starts pods; the API starts trainings.
    for where in tokens:
        assert re.search(r"^RayService .* head$|^Deployment ", where), where
    assert any("Deployment" in where for where in tokens) == needs_kubernetes(install)


def needs_kubernetes(install: Install) -> bool:
    """Tell whether an installation's API asks anything of Kubernetes."""
    return any(item["kind"] == "Role" for item in render(install))


def test_the_autoscaler_is_held_as_tightly_as_the_rest() -> None:
    options = ray_service(NORM)["spec"]["rayClusterConfig"]["autoscalerOptions"]
    assert options["version"] == "v2"
    assert options["securityContext"]["readOnlyRootFilesystem"] is True
    assert options["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("install", GRID.values(), ids=GRID)
def test_no_secret_stands_in_the_open(install: Install) -> None:
    for where, pod in pod_specs(render(install)):
        for container in containers(pod):
            for variable in container.get("env", []):
                if SECRET_NAMES.search(variable["name"]):
                    assert "value" not in variable, f"{where}: {variable['name']}"
                    assert "secretKeyRef" in variable["valueFrom"], where
            words = json.dumps([container.get("command"), container.get("args")])
            assert "://" not in words.replace("http://", ""), where
    for item in render(install):
        if item["kind"] == "ConfigMap":
            assert not re.search(r"postgresql://|password", json.dumps(item["data"])), item


def test_secrets_are_made_for_a_trial_alone() -> None:
    secrets = [item for item in render(TRIAL) if item["kind"] == "Secret"]
    assert len(secrets) == 2
    database = only(secrets, "Secret", "-db-trial")["stringData"]
    assert len(database["password"]) >= 32
    assert database["password"] in database["url"]
    assert "Secret" not in {item["kind"] for item in render(NORM)}


def test_the_api_may_do_what_trainings_take_and_no_more() -> None:
    objects = render(NORM)
    role = only(objects, "Role")
    allowed = {(group, kind): rule["verbs"] for rule in role["rules"]
               for group in rule["apiGroups"] for kind in rule["resources"]}  # fmt: skip
    assert allowed == {
        ("ray.io", "rayjobs"): ["create", "get", "list", "delete"],
        ("", "pods"): ["get", "list"],
        ("", "pods/log"): ["get"],
    }
    (subject,) = only(objects, "RoleBinding")["subjects"]
    deployment = only(objects, "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == subject["name"]
    assert "ClusterRole" not in {item["kind"] for item in objects}


def peers(policy: Object, port: int | str) -> list[Any]:
    """Return who may reach a port."""
    return [
        peer
        for rule in policy["spec"]["ingress"]
        if "ports" not in rule or {"port": port} in rule["ports"]
        for peer in rule["from"]
    ]


def labels_of(peer: Any) -> dict[str, str]:
    """Return the labels that make somebody this peer."""
    selector = peer.get("podSelector") or peer["namespaceSelector"]
    labels: dict[str, str] = selector["matchLabels"]
    return labels


def matches(policy: Object, pod_labels: dict[str, str]) -> bool:
    """Tell whether a policy is for pods of these labels."""
    wanted: dict[str, str] = policy["spec"]["podSelector"]["matchLabels"]
    return wanted.items() <= pod_labels.items()


def test_who_reaches_the_database() -> None:
    objects = render(TRIAL)
    pod = only(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    policy = only(objects, "NetworkPolicy", "-db")
    assert matches(policy, pod)
    who = {labels_of(peer)["app.kubernetes.io/component"] for peer in peers(policy, 5432)}
    assert who == {"api", "ray"}
    owned = only(render(OWN_DATABASE), "NetworkPolicy", "-db")
    assert owned["spec"]["podSelector"]["matchLabels"] == {"cnpg.io/cluster": "survey-pavemap-db"}


@pytest.mark.parametrize("cluster", ["serving", "training"])
def test_who_reaches_a_ray_cluster(cluster: str) -> None:
    """Its head takes jobs, which is any code; Serve's port has no token of its own."""
    objects = render(NORM)
    policy = only(objects, "NetworkPolicy", f"-{cluster}")
    holder = ray_service(NORM)["spec"]["rayClusterConfig"]
    if cluster == "training":
        holder = rayjob_template(objects)["spec"]["rayClusterSpec"]
    for group in (holder["headGroupSpec"], *holder["workerGroupSpecs"]):
        labels = group["template"]["metadata"]["labels"]
        assert matches(policy, labels)
        # KubeRay sets it, and selects by its own value where it makes the head Service of a RayService.
        assert "app.kubernetes.io/name" not in labels
    operator = {"kubernetes.io/metadata.name": "kuberay-operator"}
    for port in (8265, 8000):
        allowed = [labels_of(peer) for peer in peers(policy, port)]
        roles = {labels.get("app.kubernetes.io/component") for labels in allowed} - {None}
        if (cluster, port) == ("training", 8000):
            assert roles == set(), "nothing is served there"
            continue
        assert operator in allowed
        assert roles == ({"api", "submitter"} if cluster == "training" else {"api"})
        own = {"pavemap.io/cluster": cluster}
        assert any(own.items() <= labels.items() for labels in allowed)
        assert len(allowed) == 2 + len(roles), "and nobody else"


def test_who_reaches_the_api() -> None:
    objects = render(GRID["ingress"])
    policy = only(objects, "NetworkPolicy", "-api")
    assert matches(policy, only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"])
    allowed = [labels_of(peer) for peer in peers(policy, "http")]
    assert {"kubernetes.io/metadata.name": "ingress-nginx"} in allowed
    tester = only(objects, "Pod")["metadata"]["labels"]
    assert any(labels.items() <= tester.items() for labels in allowed)
    assert len(allowed) == 2


@pytest.mark.parametrize("release", ["pavemap", "a.b.c", "7th-survey", "x" * 53])
def test_names_are_short_and_proper(release: str) -> None:
    """KubeRay takes 47 characters of DNS-1035 and adds to them; Kubernetes takes 63."""
    install = Install(NORM.values, name=release)
    for item in render(install):
        name = item["metadata"]["name"]
        limit = 47 if item["kind"] == "RayService" else 63
        assert len(name) <= limit
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name), name


def test_two_long_releases_do_not_share_a_name() -> None:
    one, other = (
        only(render(Install(NORM.values, name="district-" * 5 + end)), "RayService")["metadata"][
            "name"
        ]
        for end in ("north", "south")
    )
    assert one != other


def test_annotations_of_the_ingress_are_given_as_they_are_or_left_out() -> None:
    nginx = "nginx.ingress.kubernetes.io"
    given = {
        f"{nginx}/configuration-snippet": 'more_set_headers "X-Frame-Options: DENY"',
        f"{nginx}/proxy-body-size": "",
    }
    install = replace(
        BUCKET.with_values("ingress.enabled=true", "ingress.host=pavemap.example.org"),
        more=("--set-json", f"ingress.annotations={json.dumps(given)}"),
    )
    made = only(render(install), "Ingress")["metadata"]["annotations"]
    assert made[f"{nginx}/configuration-snippet"] == given[f"{nginx}/configuration-snippet"]
    assert f"{nginx}/proxy-body-size" not in made
    assert made[f"{nginx}/proxy-read-timeout"] == "3600"


def who_shares_a_node(install: Install) -> dict[str, Object]:
    """Return, by where they stand, the pods that have to be on the node of others, and of whom."""
    return {
        where: pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
        for where, pod in pod_specs(render(install))
        if "affinity" in pod
    }


def test_who_mounts_a_volume_of_one_node_is_on_that_node() -> None:
    assert who_shares_a_node(NORM) == {}
    single = BUCKET.with_values("training.volume.accessMode=ReadWriteOnce")
    trainings = who_shares_a_node(single)
    assert [where.split()[-1] for where in trainings] == ["head", "training"]
    job = rayjob_template(render(single))["spec"]["rayClusterSpec"]
    labels = job["headGroupSpec"]["template"]["metadata"]["labels"]
    for term in trainings.values():
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()
        assert term["labelSelector"]["matchLabels"]["pavemap.io/cluster"] == "training"
    serving = single.with_values("training.backend=ray", "serving.cpu.maxReplicas=1")
    assert [where.split()[-1] for where in who_shares_a_node(serving)] == ["head", "cpu"]
    assert who_shares_a_node(single.with_values("training.backend=none")) == {}
    imagery = TRIAL.with_values("training.backend=kubernetes")
    mounting = {
        where
        for where, pod in pod_specs(render(imagery))
        if any(volume["name"] == "storage" for volume in pod.get("volumes", []))
    }
    assert len(mounting) == 5, "the API, and head and worker of serving and of a training"
    assert set(who_shares_a_node(imagery)) == mounting


def test_the_head_of_a_training_goes_where_it_is_told() -> None:
    values = (
        "training.head.nodeSelector.pool=gpu",
        "training.head.tolerations[0].key=nvidia.com/gpu,training.head.tolerations[0].operator=Exists",
        "training.volume.accessMode=ReadWriteOnce",
    )
    job = rayjob_template(render(GPU.with_values(*values)))["spec"]["rayClusterSpec"]
    head = job["headGroupSpec"]["template"]["spec"]
    assert head["nodeSelector"] == {"pool": "gpu"}
    assert head["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def test_uploads_that_fill_their_volume_end_no_pod() -> None:
    """The kubelet evicts a pod whose emptyDir outgrows its limit; a volume that is full only says so."""
    for install in (BUCKET, GRID["an S3 look-alike"]):
        pod = only(render(install), "Deployment")["spec"]["template"]["spec"]
        (scratch,) = [volume for volume in pod["volumes"] if volume["name"] == "scratch"]
        claim = scratch["ephemeral"]["volumeClaimTemplate"]["spec"]
        assert claim["resources"]["requests"]["storage"] == "100Gi"
        assert claim.get("storageClassName") == ("fast" if install is not BUCKET else None)


def test_uploads_of_gigabytes_pass() -> None:
    annotations = only(render(GRID["ingress"]), "Ingress")["metadata"]["annotations"]
    nginx = "nginx.ingress.kubernetes.io"
    assert annotations[f"{nginx}/proxy-body-size"] == "1t", "what one gives oneself counts"
    assert annotations[f"{nginx}/proxy-request-buffering"] == "off"
    assert int(annotations[f"{nginx}/proxy-read-timeout"]) >= 3600
    pod = only(render(BUCKET), "Deployment")["spec"]["template"]["spec"]
    command = pod["containers"][0]["command"]
    (drain,) = [word for word in command if word.startswith("--timeout-graceful-shutdown=")]
    assert pod["terminationGracePeriodSeconds"] > int(drain.partition("=")[2])


def test_gpus_come_and_go_with_the_work() -> None:
    config = ray_service(GPU)["spec"]["rayClusterConfig"]
    head, groups = config["headGroupSpec"], {g["groupName"]: g for g in config["workerGroupSpecs"]}
    assert head["rayStartParams"]["num-cpus"] == "0"
    gpu = groups["gpu"]
    assert gpu["minReplicas"] == 0
    container = gpu["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].split(":")[0].endswith("-gpu")
    assert gpu["rayStartParams"] == {"num-cpus": "0", "num-gpus": "1"}, "no room for a Surveyor"
    assert (
        "nvidia.com/gpu"
        not in groups["cpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    )
    # The device plugin alone labels no nodes: what books a GPU is on a node that has one.
    trainings = rayjob_template(render(GPU))["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert all("nodeSelector" not in each["template"]["spec"] for each in (gpu, *trainings))


def test_a_finished_training_frees_its_gpus() -> None:
    spec = rayjob_template(render(GPU))["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] <= 300
    assert spec["backoffLimit"] >= 1, "a node may die"
