#!/usr/bin/env bash
# The sandbox's process: waits, takes in orphans as the first process of a namespace, leaves when it
# is told to. pause_test.sh PROGRAM. TAP.
set -uo pipefail
program="$1"
failed=0
result() { # result NUMBER NAME STATUS
  [[ $3 == 0 ]] && echo "ok $1 - $2" || { echo "not ok $1 - $2"; failed=1; }
}

echo "1..3"
number=0
for signal in TERM INT; do
  number=$((number + 1))
  # Job control: a shell's background jobs are born deaf to SIGINT without it.
  set -m
  timeout 20 "$program" &
  set +m
  # Until it waits for its signals it would die of them.
  pid=
  until [[ -n $pid ]] && grep -q '^State:.*sleeping' "/proc/$pid/status"; do
    pid="$(pgrep -P $! -x meltemi-pause || true)"
  done
  kill -s "$signal" "$pid"
  wait $!
  result "$number" "ends well on SIG$signal" $?
done
if ldd "$program" >/dev/null 2>&1; then status=1; else status=0; fi
result 3 "needs no library" $status
exit $failed
