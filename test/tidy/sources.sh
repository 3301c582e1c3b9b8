#!/usr/bin/env bash
# Lists the C++ files of the tree, as paths from the root.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
find . -path './.*' -prune -o -path './bazel-*' -prune -o -name corpus -prune -o -type f \
  \( -name '*.cc' -o -name '*.h' \) -printf '%P\n' | sort
