#!/usr/bin/env bash
# Is every C++ file as clang-format leaves it? Prints TAP. Other versions than Debian 12's break
# lines elsewhere, so without clang-format 14 the case is skipped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
echo "1..1"
name="clang-format changes nothing"
if ! command -v clang-format-14 >/dev/null; then
  echo "ok 1 - $name # SKIP clang-format-14 is not installed: ./meltemi setup"
  exit 0
fi
changed="$(test/tidy/sources.sh | xargs -r -n 1 -P "$(nproc)" sh -c \
  'clang-format-14 --dry-run -Werror "$0" >/dev/null 2>&1 || echo "$0"' | sort)"
if [[ -z $changed ]]; then
  echo "ok 1 - $name"
else
  echo "$changed" | sed 's/^/# .\/meltemi fmt /'
  echo "not ok 1 - $name"
  exit 1
fi
