#!/usr/bin/env bash
# Installs the wheel with what an image needs, at the pinned versions:
# `install.sh api|ray cpu|gpu WHEELS CONSTRAINTS [pip's options]`.
set -euo pipefail
target=$1 device=$2 wheels=$3 constraints=$4
shift 4
case $target in
    api) extras=jobs ;;
    ray) extras=serving,training ;;
    *) echo "the target is api or ray, not '$target'" >&2; exit 2 ;;
esac
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
"$(dirname "$0")/constraints.sh" "$device" "$constraints" >"$pins"
wheel=$(ls "$wheels"/pavemap-*.whl)
# Builds of torch without CUDA are kept by PyTorch itself, not by PyPI.
[ "$device" = cpu ] && set -- --extra-index-url https://download.pytorch.org/whl/cpu "$@"
python -m pip install --no-cache-dir --quiet --constraint "$pins" "$@" "$wheel[$extras]"
