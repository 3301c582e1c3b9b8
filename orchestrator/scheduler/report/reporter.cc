#include "orchestrator/scheduler/report/reporter.h"

#include <utility>

namespace meltemi::scheduler {
namespace {

constexpr int kLanes = 8;
constexpr int kTriesMax = 5;
// Events are forgotten after an hour: what goes on for long is told again.
constexpr Duration kEventInterval = minutes(30);
constexpr size_t kMessageBytesMax = 1024;

std::string Cut(const std::string& message) {
  return message.size() <= kMessageBytesMax ? message
                                            : message.substr(0, kMessageBytesMax - 4) + " ...";
}

}  // namespace

Reporter::Reporter(kube::Client& client, kube::EventRecorder& recorder, Gate& gate)
    : client_(client), recorder_(recorder), gate_(gate), lanes_(gate, kLanes) {}

void Reporter::Failed(const PodInfoPtr& pod, Report report) {
  const std::string event = Cut(report.message);
  bool tell_event = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Telling& telling = tellings_[pod->uid];
    telling.pod = pod;
    const MonotonicTime now = gate_.Now();
    tell_event = telling.event != event || now - telling.event_at >= kEventInterval;
    if (tell_event) {
      telling.event = event;
      telling.event_at = now;
    }
    Condition condition{"PodScheduled", "False", std::move(report.reason),
                        std::move(report.message)};
    // Before the first report the pod itself says what has been told, by a scheduler before us.
    const bool told = telling.condition.has_value()
                          ? telling.condition->reason == condition.reason &&
                                telling.condition->message == condition.message
                          : Has(*pod->pod, condition);
    const std::string& nominated = telling.nominated.has_value()
                                       ? *telling.nominated
                                       : pod->pod->status().nominated_node_name();
    const bool renominated = report.nominated.has_value() && *report.nominated != nominated;
    telling.condition = std::move(condition);
    if (renominated) telling.nominated = std::move(report.nominated);
    if (!told || renominated) Tell(telling);
  }
  if (tell_event) recorder_.Record(*pod->pod, kube::kWarning, "FailedScheduling", event);
}

void Reporter::Nominate(const PodInfoPtr& pod, const std::string& node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Telling& telling = tellings_[pod->uid];
  telling.pod = pod;
  if (telling.nominated.value_or(pod->pod->status().nominated_node_name()) == node) return;
  telling.nominated = node;
  Tell(telling);
}

void Reporter::Forget(absl::string_view uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = tellings_.find(uid);
  if (found != tellings_.end()) tellings_.erase(found);
}

void Reporter::Tell(Telling& telling) {
  telling.tries = 0;
  telling.to_write = true;
  if (telling.writing) return;  // it looks once more when it is done
  telling.writing = true;
  lanes_.Add([this, uid = telling.pod->uid] { Write(uid); });
}

void Reporter::Write(const std::string& uid) {
  for (;;) {
    PodInfoPtr pod;
    std::string patch;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = tellings_.find(uid);
      if (found == tellings_.end()) return;
      Telling& telling = found->second;
      if (!telling.to_write) {
        telling.writing = false;
        return;
      }
      telling.to_write = false;
      pod = telling.pod;
      patch = StatusPatch(*pod->pod, telling.condition, telling.nominated,
                          gate_.executor().clock().WallNow());
    }
    const kube::Outcome written = PatchStatus(client_, *pod, patch);
    if (written.ok() || !kube::IsTransient(written.status())) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = tellings_.find(uid);
    if (found == tellings_.end()) return;
    if (found->second.to_write || ++found->second.tries >= kTriesMax) continue;
    found->second.to_write = true;
    gate_.Later(seconds(1), [this, uid] { lanes_.Add([this, uid] { Write(uid); }); });
    return;
  }
}

}  // namespace meltemi::scheduler
