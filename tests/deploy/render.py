"""Renders the chart by Helm's own library: values as JSON on stdin, objects as YAML on stdout."""

import json
import sys

import helm_python as helm

CHART = "deploy/helm/routelet"

with helm.Chart.load(CHART) as chart:
    values = json.load(sys.stdin)
    chart.validate_schema(values)
    rendered = chart.render(values, name="routelet", namespace="routelet")
for name, text in sorted(rendered.items()):
    if name.endswith(".yaml") and text.strip():
        print("---")
        print(text.strip())
