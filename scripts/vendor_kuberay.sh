#!/usr/bin/env bash
# Puts KubeRay's own chart in place of the placeholder, so that kuberay-operator.enabled=true works:
# `vendor_kuberay.sh [CHART]`. Needs helm and the network; the version is that of Chart.yaml.
set -euo pipefail
chart=${1:-$(dirname "$0")/../helm/pavemap}
cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
# Fetched into a copy first: without the network the chart stays as it is.
cp -R "$chart" "$cache/chart"
rm -rf "$cache/chart/charts"
helm dependency update "$cache/chart" --repository-cache "$cache/repositories" --repository-config "$cache/repositories.yaml"
rm -rf "$chart/charts"
cp -R "$cache/chart/charts" "$chart/charts"
echo "vendored: $(ls "$chart/charts")"
