#!/usr/bin/env bash
# What summary.awk counts, from made-up results of Bazel.
set -euo pipefail
readonly SUMMARY="bazel/summary/summary.awk"
readonly ROOM="${TEST_TMPDIR:-$(mktemp -d)}"

number=0
failed=0

# event LABEL STATUS : a testResult event for the files LABEL.log and LABEL.xml of the room.
event() {
  local base="$ROOM/$1"
  touch "$base.log" "$base.xml"
  printf '{"id":{"testResult":{"label":"//x:%s","run":1}},"testResult":{"testActionOutput":[' "$1"
  printf '{"name":"test.log","uri":"file://%s.log"},' "$base"
  printf '{"name":"test.xml","uri":"file://%s.xml"}],"status":"%s"}}\n' "$base" "$2"
}

# expect NAME TEXT STATUS FILE... : the summary of the files contains TEXT and exits with STATUS.
expect() {
  local name="$1" text="$2" wanted="$3" status=0 output
  shift 3
  output="$(awk -f "$SUMMARY" "$@")" || status=$?
  number=$((number + 1))
  if grep -qF -- "$text" <<<"$output" && [[ $status == "$wanted" ]]; then
    echo "ok $number - $name"
  else
    echo "# wanted '$text' and exit code $wanted, got exit code $status and:"
    sed 's/^/#   /' <<<"$output"
    echo "not ok $number - $name"
    failed=1
  fi
}

echo "1..9"

cat >"$ROOM/good.xml" <<'END'
<testsuites tests="3"><testsuite name="A">
<testcase name="S" status="run" result="skipped" classname="A">
  <skipped message="a.cc:2&#x0A;needs root &amp; more"><![CDATA[<testcase name="no">]]></skipped>
</testcase>
<testcase name="P" status="run" classname="A"><properties/></testcase>
<testcase name="D" status="notrun" result="suppressed" classname="A" />
</testsuite></testsuites>
END
event good PASSED >"$ROOM/good.json"
expect "cases of GoogleTest" "1 passed, 0 failed, 2 skipped" 0 "$ROOM/good.json"
expect "a skip gives its reason" "A.S: a.cc:2 needs root & more" 0 "$ROOM/good.json"

cat >"$ROOM/bad.xml" <<'END'
<testsuites><testsuite name="A"><testcase name="F" status="run" classname="A">
  <failure message="x"><![CDATA[<failure <testcase ]]></failure></testcase>
<testcase name="P" status="run" classname="A"/></testsuite></testsuites>
END
event bad FAILED >"$ROOM/bad.json"
expect "a failed case" "1 passed, 1 failed, 0 skipped" 1 "$ROOM/bad.json"

sed '/failure/d' "$ROOM/good.xml" >"$ROOM/leak.xml"
event leak FAILED >"$ROOM/leak.json"
expect "a program that fails after its last case" "1 passed, 1 failed" 1 "$ROOM/leak.json"

printf '1..4\nok 1 - a\nok 2 - b # SKIP no kernel module\nnot ok 3 - c\n' >"$ROOM/tap.log"
event tap FAILED >"$ROOM/tap.json"
expect "TAP, with a case that never ran" "1 passed, 2 failed, 1 skipped" 1 "$ROOM/tap.json"
expect "a TAP skip gives its reason" "b: no kernel module" 1 "$ROOM/tap.json"

cat >"$ROOM/broken.json" <<'END'
{"id":{"targetCompleted":{"label":"//x:b"}},"completed":{"failureDetail":{"message":"no"}}}
END
expect "a target that does not build" "//x:b does not build" 1 "$ROOM/broken.json"
expect "nothing ran" "0 passed, 0 failed, 0 skipped" 1 /dev/null
printf '1..1\nok 1 - a\n' >"$ROOM/check.tap"
expect "TAP files beside the events" "2 passed, 0 failed" 0 "$ROOM/good.json" "$ROOM/check.tap"
exit "$failed"
