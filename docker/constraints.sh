#!/usr/bin/env bash
# Prints the pins for an image: `constraints.sh cpu|gpu constraints.txt`. The CPU's torch is the same version as built without CUDA.
set -euo pipefail
device=$1 file=$2
case $device in
    cpu) change='s/^(torch==[0-9.]+)$/\1+cpu/' ;;
    gpu) change= ;;
    *) echo "the device is cpu or gpu, not '$device'" >&2; exit 2 ;;
esac
grep -Ev '^[[:space:]]*(#|$)' "$file" | sed -E "$change"
