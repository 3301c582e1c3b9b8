# Counts test cases, not test targets.
#
#   awk -f summary.awk EVENTS.json [more.tap ...]
#
# EVENTS.json is Bazel's build event file (--build_event_json_file). For every test that ran it reads
#   - the TAP lines of the log, if the log has a plan line "1..N" (shell scripts), else
#   - the JUnit XML (GoogleTest writes it; Bazel writes one case for any other program).
# A target that does not build, crashes, or fails without a failed case counts as one failed case.
# Files named *.tap are read as TAP. Prints failed and skipped cases with their reasons, then the
# line "N passed, N failed, N skipped"; exits 1 if a case failed or none ran.

BEGIN { passed = failed = skipped = 0 }

FILENAME ~ /\.tap$/ {
  tap_line($0, basename(FILENAME))
  next
}

/^\{"id":\{"targetCompleted":/ && /"completed":\{"failureDetail":/ {
  fail_target(label_of($0), "does not build")
}

/"aborted":\{/ && /ANALYSIS_FAILURE|LOADING_FAILURE/ && /"label":/ {
  fail_target(label_of($0), "its BUILD file is wrong: " field($0, "description"))
}

/^\{"id":\{"testResult":/ && /"testActionOutput":/ {
  count_target(label_of($0), status_of($0), uri($0, "test.xml"), uri($0, "test.log"))
}

END {
  for (i = 1; i <= skipped_lines; ++i) print "SKIPPED " skip_line[i]
  for (i = 1; i <= failed_lines; ++i) print "FAILED  " fail_line[i]
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  exit (failed > 0 || passed == 0) ? 1 : 0
}

function basename(path) {
  sub(/.*\//, "", path)
  return path
}

function field(line, name,   at) {
  if (!match(line, "\"" name "\":\"[^\"]*")) return ""
  at = length(name) + 4
  return substr(line, RSTART + at, RLENGTH - at)
}

function label_of(line) { return field(line, "label") }

function status_of(line) { return field(line, "status") }

# The path of the output called `name` in a testResult event.
function uri(line, name) {
  if (!match(line, "\"name\":\"" name "\",\"uri\":\"file://[^\"]*")) return ""
  line = substr(line, RSTART, RLENGTH)
  sub(/.*file:\/\//, "", line)
  return line
}

function pass_case() { ++passed }

function fail_case(name) {
  ++failed
  fail_line[++failed_lines] = name
}

function skip_case(name, reason) {
  ++skipped
  skip_line[++skipped_lines] = name ": " (reason == "" ? "no reason given" : reason)
}

function fail_target(label, why) {
  if (label in failed_target) return
  failed_target[label] = 1
  fail_case(label " " why)
}

function count_target(label, status, xml, log_path,   before) {
  before = failed
  if (!read_tap(label, log_path)) read_xml(label, xml)
  if (status != "PASSED" && status != "FLAKY" && failed == before) fail_case(label " " status)
}

# ---- TAP ------------------------------------------------------------------------------------

# Returns 0 if the log has no plan and so is not TAP.
function read_tap(label, path,   line, planned, seen, lines, i) {
  planned = -1
  while ((getline line < path) > 0) {
    if (line ~ /^1\.\.[0-9]+/) planned = substr(line, 4) + 0
    if (line ~ /^(not )?ok( |$)/) lines[++seen] = line
  }
  close(path)
  if (planned < 0) return 0
  for (i = 1; i <= seen; ++i) tap_line(lines[i], label)
  for (i = seen + 1; i <= planned; ++i) fail_case(label " case " i " of " planned " never ran")
  return 1
}

function tap_line(line, where,   name, reason) {
  if (line !~ /^(not )?ok( |$)/) return
  name = line
  sub(/^(not )?ok *[0-9]* *(- )?/, "", name)
  if (match(name, /# *[Ss][Kk][Ii][Pp][: ]*/)) {
    reason = substr(name, RSTART + RLENGTH)
    name = substr(name, 1, RSTART - 1)
    sub(/ +$/, "", name)
    skip_case(where " " name, reason)
  } else if (line ~ /^not/) {
    fail_case(where " " name)
  } else {
    pass_case()
  }
}

# ---- JUnit XML ------------------------------------------------------------------------------

function attribute(element, name,   text) {
  if (!match(element, "[ ]" name "=\"[^\"]*\"")) return ""
  text = substr(element, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
  gsub(/&#x0A;/, " ", text)
  gsub(/&lt;/, "<", text)
  gsub(/&gt;/, ">", text)
  gsub(/&quot;/, "\"", text)
  gsub(/&apos;/, "'", text)
  gsub(/&amp;/, "\\&", text)
  return text
}

# The whole file without CDATA sections, which hold whatever a test printed.
function slurp(path,   line, text, inside, at) {
  while ((getline line < path) > 0) {
    while (line != "") {
      at = index(line, inside ? "]]>" : "<![CDATA[")
      if (!inside) text = text (at ? substr(line, 1, at - 1) : line "\n")
      if (!at) break
      line = substr(line, at + (inside ? 3 : 9))
      inside = !inside
    }
  }
  close(path)
  return text
}

function read_xml(label, path,   count, cases, i, element, name) {
  count = split(slurp(path), cases, "<testcase ")
  for (i = 2; i <= count; ++i) {
    element = " " cases[i]
    name = attribute(element, "classname") "." attribute(element, "name")
    sub(/^\./, "", name)
    if (element ~ /<(failure|error)[ >\/]/) {
      fail_case(name == label ? label : label " " name)
    } else if (match(element, /<skipped/)) {
      skip_case(label " " name, attribute(substr(element, RSTART), "message"))
    } else if (element ~ /status="notrun"/) {
      skip_case(label " " name, "disabled in the source")
    } else {
      pass_case()
    }
  }
}
