#!/usr/bin/env python3
"""Checks the Helm chart: lint, every object against Kubernetes' own schemas, and the manifests.

Run by `deploy/check`, which installs what it needs. With `--write` the manifests are made anew.
"""

import pathlib
import sys

import helm_python
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE / "chart" / "tidegate"
MANIFESTS = HERE / "manifests" / "tidegate.yaml"
KUBERNETES = ["1.29", "1.33", "1.37"]
# Kinds that other projects define.
FOREIGN = {"PodMonitor"}

VARIANTS = {
    "defaults": {},
    "one namespace": {"namespace": "models"},
    "everything": {
        "namespace": "models",
        "imagePullSecrets": [{"name": "pull"}],
        "autoscaler": {
            "gateways": "app=gateway",
            "prometheus": "http://prometheus:9090",
            "otherTargets": [{"group": "argoproj.io", "resource": "rollouts"}],
            "extraArgs": ["--most-scrapes=100"],
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        },
        "gateway": {
            "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}},
            "trustedHops": "10.0.0.0/8",
            "discovery": "endpoint-slices",
            "from": [{"namespaceSelector": {}}],
            "extraArgs": ["--access-log=all"],
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        },
        "injector": {
            "mode": "plain",
            "sidecar": {"trustedHops": "10.244.0.0/16"},
            "tlsSecret": "injector-tls",
            "webhookAnnotations": {"cert-manager.io/inject-ca-from": "tidegate/tls"},
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        },
        "podMonitors": {"enabled": True},
    },
    "little": {
        "injector": {"enabled": False},
        "gateway": {"enabled": False},
        "podDisruptionBudgets": {"enabled": False},
        "networkPolicies": {"enabled": False},
    },
}

WRONG = [
    {"injector": {"mode": "other"}},
    {"autoscaler": {"tick": "soon"}},
    {"gateway": {"service": {"port": 0}}},
    {"gateway": {"discovery": "dns"}},
    {"autoscaler": {"replica": 1}},
    {"unknown": True},
]


def rendered(values):
    """The chart's manifests by file, without notes."""
    files = helm_python.Chart.load(str(CHART)).render(values, name="tidegate", namespace="tidegate")
    return {name: text for name, text in sorted(files.items()) if name.endswith(".yaml")}


def objects(files):
    """All objects of the manifests."""
    for name, text in files.items():
        for document in yaml.safe_load_all(text):
            if document:
                yield name, document


def main():
    """Checks all; says what is wrong."""
    faults = []
    for name, values in VARIANTS.items():
        report = helm_python.lint(str(CHART), values, strict=True, namespace="tidegate")
        faults += [f"lint, {name}: {message}" for message in report["messages"] if message["severity"] > 1]
        faults += [f"lint, {name}: {error}" for error in report["errors"]]
        count = 0
        for file, document in objects(rendered(values)):
            count += 1
            if document["kind"] in FOREIGN:
                continue
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                except Exception as error:  # The library has several kinds of them.
                    what = f"{document['kind']} {document['metadata']['name']}"
                    faults.append(f"{file}, {name}, {what}, {version}: {error}")
        print(f"{name}: {count} objects")
    for values in WRONG:
        try:
            helm_python.Chart.load(str(CHART)).validate_schema(values)
            faults.append(f"taken, but wrong: {values}")
        except helm_python.HelmError:
            pass
    crd = (HERE / "crd.yaml").read_text()
    if (CHART / "crds" / "inferenceapi.yaml").read_text() != crd:
        faults.append("crds/inferenceapi.yaml is not crd.yaml: copy it")
    head = "# Made by `deploy/check --write`.\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: tidegate\n"
    parts = [head, crd, *(text.strip() + "\n" for text in rendered({}).values() if text.strip())]
    made = "---\n".join(parts)
    if "--write" in sys.argv:
        MANIFESTS.write_text(made)
    elif not MANIFESTS.exists() or MANIFESTS.read_text() != made:
        faults.append("manifests/tidegate.yaml is out of date: run `deploy/check --write`")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
