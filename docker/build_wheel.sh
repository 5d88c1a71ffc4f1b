#!/usr/bin/env bash
# Builds pavemap's wheel, weights and web assets in it: `build_wheel.sh SOURCE FOLDER [pip's options]`.
set -euo pipefail
source=$1 folder=$2
shift 2
python -m pip wheel --no-deps --no-cache-dir --quiet --wheel-dir "$folder" "$@" "$source"
ls -l "$folder"
