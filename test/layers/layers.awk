# Reads the dependency graph of `bazel query --output=graph` and prints TAP: one case per part of the
# tree, saying whether it depends only on what the design allows, and one per pair of libraries that
# must never meet in a process.

BEGIN {
  # part -> the parts it may depend on, itself and bazel/ always included
  allowed["base"] = ""
  allowed["api"] = ""
  allowed["kube"] = "base api"
  allowed["proxy"] = "base api"
  allowed["pilot"] = "base api kube"
  allowed["orchestrator"] = "base api kube"
  allowed["cli"] = "base api kube proxy pilot orchestrator"
  allowed["bazel"] = ""
  allowed["test"] = "base api kube proxy pilot orchestrator cli examples"
  allowed["examples"] = "base api kube proxy pilot orchestrator cli test"
  order = "base api kube proxy pilot orchestrator cli bazel test examples"
}

/ -> / {
  gsub(/"/, "")
  edge($1, $3)
}

END {
  parts = split(order, part, " ")
  print "1.." parts + 4
  report("the dependency graph was read", edges > 0 ? "" : "# no edges: see the messages above\n")
  for (i = 1; i <= parts; ++i) {
    what = allowed[part[i]] == "" ? "nothing of ours" : allowed[part[i]]
    report(part[i] " depends on " what, offence[part[i]])
  }
  report("every part of the tree is known to this test", unknown)
  report("nothing in proxy links gRPC (it brings OpenSSL)", reaching("//proxy/", "@grpc//"))
  report("nothing in pilot links BoringSSL", reaching("//pilot/", "@boringssl//"))
  exit failed
}

# "//proxy/app:main" -> "proxy"; "@absl//..." -> ""
function part_of(label) {
  if (label !~ /^\/\//) return ""
  sub(/^\/\//, "", label)
  sub(/[\/:].*/, "", label)
  return label
}

function edge(from, to,   source, target) {
  ++edges
  next_of[from] = next_of[from] " " to
  source = part_of(from)
  target = part_of(to)
  if (source == "") return
  if (!(source in allowed)) {
    unknown = unknown "# " from ": add its part to test/layers/layers.awk\n"
    return
  }
  if (target == "" || target == source || target == "bazel") return
  # The manifests of examples/ are the inputs of tests everywhere.
  if (target == "examples" && source_is_test(from)) return
  if (index(" " allowed[source] " ", " " target " ") == 0) {
    offence[source] = offence[source] "# " from " -> " to "\n"
  }
}

function source_is_test(label) { return label ~ /_(test|fuzz|fuzz_fuzzer)$/ }

function report(name, problem) {
  ++number
  printf "%s", problem
  print (problem == "" ? "ok " : "not ok ") number " - " name
  if (problem != "") failed = 1
}

# One path from each label that starts with `from` to a label that starts with `goal`.
function reaching(from, goal,   label, problem, path) {
  for (label in next_of) {
    if (index(label, from) != 1 || label ~ /_test$/) continue
    split("", visited)
    path = search(label, goal)
    if (path != "") problem = problem "# " path "\n"
  }
  return problem
}

function search(label, goal,   count, targets, i, path) {
  if (index(label, goal) == 1) return label
  if (label in visited) return ""
  visited[label] = 1
  count = split(next_of[label], targets, " ")
  for (i = 1; i <= count; ++i) {
    path = search(targets[i], goal)
    if (path != "") return label " -> " path
  }
  return ""
}
