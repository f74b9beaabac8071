"""A real kube-apiserver takes every overlay as it is, Pod Security `restricted` and all, and refuses broken ones."""

from __future__ import annotations

import json

import pytest
import yaml
from kube_cluster import Cluster, RefusedError

from tests.k8s.conftest import K8S, OVERLAYS, built, one

# Applied before: their objects name its namespace, which is another kustomization's.
NEEDS = {"approvals": "base", "teams/payments": "base", "teams/search": "base", "teams/platform": "base"}
OUTSIDE = ("agents", "monitoring")  # namespaces of kustomizations that leave the choice to their user
SERVER_SIDE = ("--server-side", "--validate=strict", "--force-conflicts")


def workloads() -> list[tuple[str, str, str]]:
    """Every workload with the overlay and namespace that it is in; each once."""
    seen: dict[tuple[str, str, str], str] = {}
    for overlay in OVERLAYS:
        for each in yaml.safe_load_all(built(overlay)):
            if each["kind"] in ("Deployment", "StatefulSet"):
                seen.setdefault((each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]), overlay)
    return [(overlay, kind, name) for (kind, _, name), overlay in seen.items()]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_applied_as_a_user_would(cluster: Cluster, overlay: str):
    namespaced = any(each["metadata"].get("namespace") for each in yaml.safe_load_all(built(overlay)))
    where = () if namespaced else ("--namespace=default",)
    if overlay in NEEDS:
        cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / NEEDS[overlay]))
    said = cluster.kubectl("apply", *SERVER_SIDE, *where, "-k", str(K8S / overlay))
    assert said.count("serverside-applied") == len(list(yaml.safe_load_all(built(overlay))))
    assert "Warning" not in said, said


@pytest.mark.parametrize(("overlay", "kind", "name"), workloads())
def test_pod_security_admits_every_pod(cluster: Cluster, overlay: str, kind: str, name: str):
    """Deployments only warn; the pod itself would be refused, by a controller that does not run here."""
    workload = one(overlay, kind, name)
    namespace = workload["metadata"]["namespace"]
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / NEEDS.get(overlay, overlay)))
    pod = as_pod(workload)
    label = "{.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"
    assert cluster.kubectl("get", "namespace", namespace, f"-o=jsonpath={label}") == "restricted"
    said = cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", text=json.dumps(pod))
    assert "created" in said
    assert "Warning" not in said


def as_pod(workload: dict) -> dict:
    """The pod that a controller would make of it."""
    template = workload["spec"]["template"]
    metadata = {**template["metadata"], "name": "made", "namespace": workload["metadata"]["namespace"]}
    spec = dict(template["spec"])
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())]
    spec["volumes"] = spec["volumes"] + [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def sidecar_pod() -> dict:
    return as_pod(one("sidecar-example", "Deployment", "valkey-mcp"))


BROKEN_PODS = {
    "a container that may write its root as root": (
        lambda pod: pod["spec"]["initContainers"][0]["securityContext"].update(runAsNonRoot=False, runAsUser=0),
        'violates PodSecurity "restricted:latest": runAsNonRoot != true',
    ),
    "a container that keeps its capabilities": (
        lambda pod: pod["spec"]["initContainers"][1]["securityContext"].pop("capabilities"),
        'unrestricted capabilities (container "envoy" must set securityContext.capabilities.drop=["ALL"])',
    ),
    "no seccomp profile": (
        lambda pod: pod["spec"]["securityContext"].pop("seccompProfile"),
        "seccompProfile (pod or containers",
    ),
    "the host's network": (lambda pod: pod["spec"].update(hostNetwork=True), "host namespaces (hostNetwork=true)"),
    "a policy directory of the host": (
        lambda pod: pod["spec"]["volumes"].append({"name": "x", "hostPath": {"path": "/etc"}}),
        'restricted volume types (volume "x" uses restricted volume type "hostPath")',
    ),
    "a probe of another host": (
        lambda pod: pod["spec"]["containers"][0]["readinessProbe"]["httpGet"].update(host="127.0.0.1"),
        'probe or lifecycle host (container "valkey-mcp" uses probe or lifecycle host "127.0.0.1")',
    ),
    "a sidecar that is an ordinary init container": (
        lambda pod: pod["spec"]["initContainers"][0].pop("restartPolicy"),
        "may not be set for init containers without restartPolicy=Always",
    ),
    "a misspelt field": (
        lambda pod: pod["spec"]["containers"][0]["readinessProbe"].update(periodSecond=5),
        'unknown field "spec.containers[0].readinessProbe.periodSecond"',
    ),
    "a socket volume that is not there": (
        lambda pod: pod["spec"].update(volumes=[v for v in pod["spec"]["volumes"] if v["name"] != "mcp-authz-socket"]),
        'spec.initContainers[0].volumeMounts[2].name: Not found: "mcp-authz-socket"',
    ),
    "a sleep longer than the pod may take to end": (
        lambda pod: pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"].update(seconds=60),
        "must be non-negative and less than terminationGracePeriodSeconds",
    ),
}


@pytest.mark.parametrize("how", BROKEN_PODS)
def test_a_broken_sidecar_is_refused(cluster: Cluster, how: str):
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / "sidecar-example"))
    pod = sidecar_pod()
    breaks, says = BROKEN_PODS[how]
    breaks(pod)
    with pytest.raises(RefusedError) as refused:
        cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", text=json.dumps(pod))
    assert says in str(refused.value)


def replaced(overlay: str, kind: str, name: str, old: str, new: str) -> str:
    """An object of an overlay with a mistake in it."""
    text = json.dumps(one(overlay, kind, name))
    assert old in text
    return text.replace(old, new)


BROKEN = {
    "a misspelt extAuth of Envoy Gateway": (
        replaced("envoy-gateway", "SecurityPolicy", "mcp-authz", "bodyToExtAuth", "bodyToExtAuthz"),
        "spec.extAuth.bodyToExtAuthz: field not declared in schema",
    ),
    "two ways to reach the service in one extAuth": (
        replaced("envoy-gateway", "SecurityPolicy", "mcp-authz", '"grpc": {', '"http": {"path": "/x"}, "grpc": {'),
        "Invalid value",
    ),
    "a status that is no error": (
        replaced("envoy-gateway", "SecurityPolicy", "mcp-authz", '"statusOnError": 503', '"statusOnError": 200'),
        "spec.extAuth.statusOnError",
    ),
    "an AuthorizationPolicy with selector and targetRefs": (
        replaced("istio-ambient", "AuthorizationPolicy", "mcp-authz", '"targetRefs"', '"selector": {"matchLabels": {"a": "b"}}, "targetRefs"'),
        "only one of targetRefs or selector can be set",
    ),
    "an action that Istio does not have": (
        replaced("istio-sidecars", "AuthorizationPolicy", "mcp-authz", '"CUSTOM"', '"EXTERNAL"'),
        'Unsupported value: "EXTERNAL"',
    ),
    "a protocol of the waypoint that is none": (
        replaced("istio-ambient", "Gateway", "waypoint", '"HBONE"', '"HB ONE"'),
        "spec.listeners[0].protocol",
    ),
    "an autoscaler with fewer than it may have": (
        replaced("mesh-wide", "HorizontalPodAutoscaler", "mcp-authz", '"maxReplicas": 10', '"maxReplicas": 1'),
        "must be greater than or equal to `minReplicas`",
    ),
    "a disruption budget that says both": (
        replaced("mesh-wide", "PodDisruptionBudget", "mcp-authz", '"maxUnavailable": 1', '"maxUnavailable": 1, "minAvailable": 1'),
        "minAvailable and maxUnavailable cannot be both set",
    ),
    "a network policy with a misspelt selector": (
        replaced("mesh-wide", "NetworkPolicy", "proxies-ask", '"podSelector": {"match', '"podSelectors": {"match'),
        "podSelectors",
    ),
    "a selector that does not fit the pods": (
        replaced("mesh-wide", "Deployment", "mcp-authz", '"selector": {"matchLabels": {', '"selector": {"matchLabels": {"a": "b", '),
        "`selector` does not match template `labels`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_manifest_is_refused(cluster: Cluster, how: str):
    text, says = BROKEN[how]
    for namespace in ("mcp-authz", "valkey-mcp"):
        manifest = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        cluster.kubectl("apply", *SERVER_SIDE, "-f", "-", "--field-manager=test", text=manifest)
    with pytest.raises(RefusedError) as refused:
        cluster.kubectl("apply", *SERVER_SIDE, "--dry-run=server", "-f", "-", text=text)
    assert says in str(refused.value)


def test_a_team_changes_its_own_policies_and_no_others(cluster: Cluster):
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / "teams"))
    patch = (
        "patch",
        "--namespace=mcp-authz",
        "--type=merge",
        '-p={"data": {"stripe.yaml": "version: 1"}}',
        "configmap",
    )
    payments = {"user": "pat", "groups": ("team-payments", "system:authenticated")}
    assert "patched" in cluster.kubectl(*patch, "policies-payments-stripe", **payments)
    for other in ("policies-search-fetch", "policies-baseline"):
        with pytest.raises(RefusedError, match=f'configmaps "{other}" is forbidden: User "pat" cannot'):
            cluster.kubectl(*patch, other, **payments)
    with pytest.raises(RefusedError, match='User "pat" cannot list resource "secrets"'):
        cluster.kubectl("get", "secrets", "--namespace=mcp-authz", **payments)
    with pytest.raises(RefusedError, match="cannot create"):
        cluster.kubectl("create", "configmap", "policies-payments-more", "--namespace=mcp-authz", **payments)


def test_labels_find_whose_policies_there_are(cluster: Cluster):
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / "teams"))
    found = cluster.get("configmap", "--namespace=mcp-authz", "--selector=mcp-authz/policies,mcp-authz/team")
    assert {each["metadata"]["name"]: each["metadata"]["labels"]["mcp-authz/team"] for each in found["items"]} == {
        "policies-baseline": "platform",
        "policies-payments-stripe": "payments",
        "policies-search-fetch": "search",
    }


def test_what_is_applied_twice_does_not_change(cluster: Cluster):
    """Defaults and other writers of a field would show."""
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / "mesh-wide"))
    before = cluster.get("deployment,statefulset,horizontalpodautoscaler,networkpolicy", "--namespace=mcp-authz")
    cluster.kubectl("apply", *SERVER_SIDE, "-k", str(K8S / "mesh-wide"))
    after = cluster.get("deployment,statefulset,horizontalpodautoscaler,networkpolicy", "--namespace=mcp-authz")
    versions = [
        [each["metadata"]["generation"] for each in found["items"] if "generation" in each["metadata"]]
        for found in (before, after)
    ]
    assert versions[0] == versions[1] != []
