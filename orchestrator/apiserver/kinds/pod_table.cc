#include "orchestrator/apiserver/kinds/pod_table.h"

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

// RFC 3339 in UTC sorts as text.
void TakeLater(absl::string_view time, std::string& latest) {
  if (time > latest) latest = std::string(time);
}

struct Restarts {
  int64_t count = 0;
  std::string last;  // when the last one was; empty: none

  void Add(const json::Value& status) {
    count += Int(status, "restartCount");
    TakeLater(Text(Get(status, "lastState", "terminated"), "finishedAt"), last);
  }
};

struct Summary {
  int64_t ready = 0, total = 0;
  std::string reason;
  Restarts restarts;
};

bool IsTrue(const json::Value& pod, absl::string_view condition_type) {
  for (const json::Value& condition : Items(Get(pod, "status"), "conditions")) {
    if (Text(condition, "type") == condition_type) return Text(condition, "status") == "True";
  }
  return false;
}

std::string TerminatedReason(const json::Value& terminated) {
  const absl::string_view reason = Text(terminated, "reason");
  if (!reason.empty()) return std::string(reason);
  const int64_t signal = Int(terminated, "signal");
  return signal != 0 ? absl::StrCat("Signal:", signal)
                     : absl::StrCat("ExitCode:", Int(terminated, "exitCode"));
}

// Goes through the init containers until one that has not done its part. False: all have.
// `sidecars` collects the restarts of those that stay.
bool SummarizeInit(const json::Value& pod, Summary& summary, Restarts& sidecars) {
  absl::flat_hash_set<absl::string_view> restartable;
  const std::vector<json::Value>& containers = Items(Get(pod, "spec"), "initContainers");
  for (const json::Value& container : containers) {
    if (Text(container, "restartPolicy") == "Always") restartable.insert(Text(container, "name"));
  }
  summary.total += static_cast<int64_t>(restartable.size());
  const std::vector<json::Value>& statuses = Items(Get(pod, "status"), "initContainerStatuses");
  for (size_t i = 0; i < statuses.size(); ++i) {
    const json::Value& status = statuses[i];
    const bool sidecar = restartable.contains(Text(status, "name"));
    summary.restarts.Add(status);
    if (sidecar) sidecars.Add(status);
    const json::Value& terminated = Get(status, "state", "terminated");
    if (!terminated.is_null() && Int(terminated, "exitCode") == 0) continue;
    if (sidecar && Bool(status, "started")) {
      summary.ready += Bool(status, "ready") ? 1 : 0;
      continue;
    }
    const absl::string_view waiting = Text(Get(status, "state", "waiting"), "reason");
    if (!terminated.is_null()) {
      summary.reason = "Init:" + TerminatedReason(terminated);
    } else if (!waiting.empty() && waiting != "PodInitializing") {
      summary.reason = absl::StrCat("Init:", waiting);
    } else {
      summary.reason = absl::StrCat("Init:", i, "/", containers.size());
    }
    return true;
  }
  return false;
}

void SummarizeContainers(const json::Value& pod, Summary& summary) {
  bool running = false;
  const std::vector<json::Value>& statuses = Items(Get(pod, "status"), "containerStatuses");
  for (auto status = statuses.rbegin(); status != statuses.rend(); ++status) {
    summary.restarts.Add(*status);
    const absl::string_view waiting = Text(Get(*status, "state", "waiting"), "reason");
    const json::Value& terminated = Get(*status, "state", "terminated");
    if (!waiting.empty()) {
      summary.reason = std::string(waiting);
    } else if (!terminated.is_null()) {
      summary.reason = TerminatedReason(terminated);
    } else if (Bool(*status, "ready") && Has(Get(*status, "state"), "running")) {
      running = true;
      ++summary.ready;
    }
  }
  if (summary.reason == "Completed" && running) {
    summary.reason = IsTrue(pod, "Ready") ? "Running" : "NotReady";
  }
}

Summary Summarize(const json::Value& pod) {
  const json::Value& status = Get(pod, "status");
  const absl::string_view phase = Text(status, "phase"), reason = Text(status, "reason");
  Summary summary;
  summary.total = static_cast<int64_t>(Items(Get(pod, "spec"), "containers").size());
  summary.reason = std::string(reason.empty() ? phase : reason);
  for (const json::Value& condition : Items(status, "conditions")) {
    if (Text(condition, "type") == "PodScheduled" &&
        Text(condition, "reason") == "SchedulingGated") {
      summary.reason = "SchedulingGated";
    }
  }
  Restarts sidecars;
  const bool initializing = SummarizeInit(pod, summary, sidecars);
  if (!initializing || IsTrue(pod, "Initialized")) {
    summary.restarts = sidecars;
    SummarizeContainers(pod, summary);
  }
  if (Has(Get(pod, "metadata"), "deletionTimestamp")) {
    if (reason == "NodeLost") {
      summary.reason = "Unknown";
    } else if (phase != "Failed" && phase != "Succeeded") {
      summary.reason = "Terminating";
    }
  }
  return summary;
}

std::string OrNone(absl::string_view text) { return std::string(text.empty() ? "<none>" : text); }

std::string ReadinessGates(const json::Value& pod) {
  const std::vector<json::Value>& gates = Items(Get(pod, "spec"), "readinessGates");
  if (gates.empty()) return "<none>";
  int open = 0;
  for (const json::Value& gate : gates) open += IsTrue(pod, Text(gate, "conditionType")) ? 1 : 0;
  return absl::StrCat(open, "/", gates.size());
}

std::vector<json::Value> PodRow(const json::Value& pod, int64_t now_s) {
  const Summary summary = Summarize(pod);
  std::string restarts = absl::StrCat(summary.restarts.count);
  if (summary.restarts.count != 0 && !summary.restarts.last.empty()) {
    absl::StrAppend(&restarts, " (", TimeSince(summary.restarts.last, now_s), " ago)");
  }
  const json::Value& status = Get(pod, "status");
  const std::vector<json::Value>& ips = Items(status, "podIPs");
  return {NameCell(pod),
          TextCell(absl::StrCat(summary.ready, "/", summary.total)),
          TextCell(summary.reason),
          TextCell(restarts),
          AgeCell(pod, now_s),
          TextCell(OrNone(ips.empty() ? "" : Text(ips[0], "ip"))),
          TextCell(OrNone(Text(Get(pod, "spec"), "nodeName"))),
          TextCell(OrNone(Text(status, "nominatedNodeName"))),
          TextCell(ReadinessGates(pod))};
}

}  // namespace

std::unique_ptr<const TableColumns> PodColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Ready", "How many of its containers are ready."),
       TextColumn("Status", "What it is doing, or why it is not."),
       TextColumn("Restarts", "How often containers were started anew, and when last."),
       AgeColumn(), TextColumn("IP", "Its address.", 1),
       TextColumn("Node", "The node that runs it.", 1),
       TextColumn("Nominated Node", "The node on which room is being made for it.", 1),
       TextColumn("Readiness Gates", "How many of its further conditions are met.", 1)},
      PodRow);
}

}  // namespace meltemi::apiserver
