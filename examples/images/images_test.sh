#!/usr/bin/env bash
# images_test.sh TOOL : ./check with the tool that was built.
set -euo pipefail
MELTEMI="$(readlink -f "$1")"
export MELTEMI
exec examples/images/check
