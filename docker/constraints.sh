#!/usr/bin/env bash
# Prints the pins for an image: `constraints.sh cpu|gpu constraints.txt`. The GPU's torch is the same version as built for CUDA.
set -euo pipefail
device=$1 file=$2
case $device in
    cpu) change= ;;
    gpu) change='s/^(torch==[0-9.]+)\+cpu$/\1/' ;;
    *) echo "the device is cpu or gpu, not '$device'" >&2; exit 2 ;;
esac
grep -Ev '^[[:space:]]*(#|$)' "$file" | sed -E "$change"
