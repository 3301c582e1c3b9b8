#!/usr/bin/env bash
# Who may depend on whom, over the real dependency graph. Prints TAP.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
startup=()
[[ -z ${MELTEMI_OUTPUT_BASE:-} ]] || startup+=("--output_base=$MELTEMI_OUTPUT_BASE")
# A BUILD file that cannot be read leaves its targets out: the message says which, and the build
# fails on it too.
bazel "${startup[@]}" query --noimplicit_deps --keep_going --noshow_progress \
  --ui_event_filters=-info --output=graph --nograph:factored 'deps(kind(rule, //...))' |
  awk -f test/layers/layers.awk
