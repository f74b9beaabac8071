"""kubeconform finds nothing in what kustomize builds; Istio's own reader takes its configuration."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_programs import CRDS, PROGRAMS, SWAGGER

from tests.k8s.conftest import K8S, OVERLAYS, built

INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def strict(schema: Any) -> Any:
    """The schema with no further properties where it lists them, as kubeconform's own schemas are made."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    found = {key: strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_ended:
        found["additionalProperties"] = False
    return found


def of_the_api(wanted: set[tuple[str, str, str]]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(group, version, kind, schema) of what is wanted and in the API's own description."""
    definitions = json.loads(SWAGGER.read_text())["definitions"]
    definitions[INT_OR_STRING] = {"type": ["integer", "string"]}
    definitions[QUANTITY] = {"type": ["number", "string"]}
    whole = {name: strict(each) for name, each in definitions.items()}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            if (kind["group"], kind["version"], kind["kind"]) not in wanted:
                continue
            used = {each: whole[each] for each in mentioned(name, whole)}
            yield kind["group"], kind["version"], kind["kind"], {**whole[name], "definitions": used}


def mentioned(name: str, whole: dict[str, Any]) -> set[str]:
    """The definitions that one needs, itself among them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += re.findall(r'"#/definitions/([^"]+)"', json.dumps(whole[one]))
    return found


class Loader(yaml.CSafeLoader):
    """Takes a bare `=`, as the CRDs have it among their enums, for the text that it is."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def of_the_crds() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """The same of the CRDs."""
    for file in CRDS.glob("*.yaml"):
        for crd in yaml.load_all(file.read_text(), Loader):
            if crd and crd["kind"] == "CustomResourceDefinition":
                spec = crd["spec"]
                for version in spec["versions"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    schema["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata={})
                    yield spec["group"], version["name"], spec["names"]["kind"], schema


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where kubeconform finds the schema of a kind; only of the kinds that are used, for each has all definitions."""
    used = set()
    for overlay in OVERLAYS:
        for each in yaml.load_all(built(overlay), yaml.CSafeLoader):
            group, _, version = each["apiVersion"].rpartition("/")
            used.add((group, version, each["kind"]))
    directory = tmp_path_factory.mktemp("schemas")
    for group, version, kind, schema in (*of_the_api(set(used)), *of_the_crds()):
        if (group, version, kind) in used:
            used.discard((group, version, kind))
            name = "-".join(part for part in (kind.lower(), group.partition(".")[0], version) if part)
            (directory / f"{name}.json").write_text(json.dumps(schema))
    assert not used, "kinds of which there is no schema"
    return f"{directory}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"


def kubeconform(schemas: str, text: str) -> tuple[int, dict[str, Any]]:
    command = [PROGRAMS / "kubeconform", "-strict", "-summary", "-output=json", "-schema-location", schemas, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubeconform_finds_nothing(schemas: str, overlay: str):
    code, said = kubeconform(schemas, built(overlay))
    assert said.get("resources", []) == []
    assert code == 0
    count = len(list(yaml.safe_load_all(built(overlay))))
    assert said["summary"] == {"valid": count, "invalid": 0, "errors": 0, "skipped": 0}


@pytest.mark.parametrize(
    ("overlay", "old", "new"),
    [
        ("mesh-wide", "maxUnavailable: 0", "maxUnavailble: 0"),
        ("envoy-gateway", "bodyToExtAuth:", "bodyToExtAuthz:"),
        ("istio-ambient", "notHosts:", "notHost:"),
        ("sidecar-example", "failureThreshold: 60", "failureThreshold: sixty"),
    ],
)
def test_kubeconform_finds_a_mistake(schemas: str, overlay: str, old: str, new: str):
    text = built(overlay)
    assert old in text
    code, said = kubeconform(schemas, text.replace(old, new, 1))
    assert code == 1
    assert [each["status"] for each in said["resources"]] == ["statusInvalid"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectls_kustomize_builds_the_same(overlay: str):
    done = subprocess.run([PROGRAMS / "kubectl", "kustomize", K8S / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load_all(done.stdout)) == list(yaml.safe_load_all(built(overlay)))


def mesh_config() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(Path(K8S / "istio-sidecars" / "istiod-values.yaml").read_text())
    assert set(values) == {"meshConfig"}
    config: dict[str, Any] = values["meshConfig"]
    return config


def read_by_istio(config: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAMS / "meshconfig"], input=json.dumps(config), capture_output=True, text=True)


def test_istio_reads_the_provider():
    done = read_by_istio(mesh_config())
    assert (done.returncode, done.stderr) == (0, "")


def test_istio_refuses_a_misspelt_provider():
    config = mesh_config()
    provider = config["extensionProviders"][0]["envoyExtAuthzGrpc"]
    provider["includeRequestBodyInCheck"]["packBytes"] = True
    done = read_by_istio(config)
    assert done.returncode == 1
    assert 'unknown field "packBytes"' in done.stderr


def test_policies_name_the_provider_that_there_is():
    (name,) = [each["name"] for each in mesh_config()["extensionProviders"]]
    for overlay in ("istio-sidecars", "istio-ambient"):
        asked = {
            each["spec"]["provider"]["name"]
            for each in yaml.safe_load_all(built(overlay))
            if each["kind"] == "AuthorizationPolicy" and each["spec"]["action"] == "CUSTOM"
        }
        assert asked == {name}
