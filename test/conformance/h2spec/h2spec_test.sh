#!/usr/bin/env bash
# h2spec, strict cases included, against an HTTP/2 server:
# h2spec_test.sh FETCH NAME SERVER [ARGUMENT…]. SERVER prints its port on its first line, serves
# until its standard input ends. Prints TAP, one line per case.
set -euo pipefail
readonly FETCH="$1" NAME="$2"
shift 2
readonly ROOM="${TEST_TMPDIR:-$(mktemp -d)}"

skip() {
  echo "1..1"
  echo "ok 1 - h2spec against $NAME # SKIP $*"
  exit 0
}

h2spec="$(bash "$FETCH" h2spec 2>"$ROOM/fetch.err")" || skip "$(tail -n 1 "$ROOM/fetch.err")"

mkfifo "$ROOM/stdin"
touch "$ROOM/port"
"$@" <"$ROOM/stdin" >"$ROOM/port" 2>"$ROOM/server.err" &
server=$!
exec 3>"$ROOM/stdin"
# The server prints its port once it listens; tail ends with the first line, or with the server.
if ! read -r port < <(tail --pid=$server -f -n +1 "$ROOM/port" 3>&-); then
  echo "1..1"
  echo "not ok 1 - the server for h2spec did not start: $(tail -n 1 "$ROOM/server.err")"
  exit 1
fi

"$h2spec" -h 127.0.0.1 -p "$port" -S -o 5 -j "$ROOM/report.xml" >"$ROOM/h2spec.log" 2>&1 || true
exec 3>&-
server_status=0
wait "$server" || server_status=$?

# One element per line: <testsuite name="…">, <testcase … classname="…">; in it what failed.
awk -v name="$NAME" -v server_status="$server_status" '
  function attribute(line, key) {
    if (!match(line, key "=\"[^\"]*\"")) return ""
    return substr(line, RSTART + length(key) + 2, RLENGTH - length(key) - 3)
  }
  function finish() {
    if (title == "") return
    lines[++count] = (bad ? "not ok " : "ok ") count " - h2spec against " name ": " title
    if (skipped) lines[count] = lines[count] " # SKIP h2spec skips it"
    if (bad) failed = 1
    title = ""
  }
  /<testsuite / { suite = attribute($0, "name") }
  /<testcase /  {
    finish()
    title = suite ": " attribute($0, "classname"); bad = skipped = 0
    gsub(/&#39;/, "\047", title); gsub(/&#34;|&quot;/, "\"", title); gsub(/&amp;/, "\\&", title)
    gsub(/#/, "", title)
  }
  /<failure|<error/ { bad = 1 }
  /<skipped/ { skipped = 1 }
  END {
    finish()
    title = "the server ends in order"; bad = server_status != 0; suite = ""; skipped = 0; finish()
    if (count < 100) { title = "fewer than 100 cases ran"; bad = 1; finish() }
    print "1.." count
    for (i = 1; i <= count; ++i) print lines[i]
    exit failed
  }' "$ROOM/report.xml" || {
  sed -n '/^Failures/,$p' "$ROOM/h2spec.log" | sed 's/^/# /'
  exit 1
}
