#include "test/controllers/pod_log.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "test/machine/process.h"

namespace meltemi::controllers {
namespace {

constexpr std::chrono::seconds kWaitMax(30);
constexpr size_t kFindingsMax = 10;

int64_t RevisionOf(const json::Value& object) {
  int64_t revision = 0;
  const json::Value* metadata = object.Find("metadata");
  if (metadata == nullptr) return 0;
  return absl::SimpleAtoi(metadata->FindString("resourceVersion"), &revision) ? revision : 0;
}

std::string TextOf(const json::Value* value) { return value == nullptr ? "" : value->text(); }

std::string ControllerName(const json::Value& pod) {
  const json::Value* owners = pod.Find("metadata", "ownerReferences");
  if (owners == nullptr) return "";
  for (const json::Value& owner : owners->items()) {
    const json::Value* controller = owner.Find("controller");
    if (controller != nullptr && controller->bool_value()) return TextOf(owner.Find("name"));
  }
  return "";
}

bool IsReady(const json::Value& pod) {
  const json::Value* conditions = pod.Find("status", "conditions");
  if (conditions == nullptr) return false;
  return std::any_of(
      conditions->items().begin(), conditions->items().end(), [](const json::Value& condition) {
        return condition.FindString("type") == "Ready" && condition.FindString("status") == "True";
      });
}

struct Moment {
  int64_t revision = 0;
  int active = 0, available = 0;
  const PodEvent* event = nullptr;
};

// Calls `look` at each moment in (from, to] after an event of these pods, and at `from` itself.
void Replay(const std::vector<PodEvent>& events, absl::string_view app, int64_t from, int64_t to,
            const std::function<void(const Moment&)>& look) {
  std::map<std::string, const PodEvent*> pods;  // by uid
  Moment moment;
  for (const PodEvent& event : events) {
    if (event.app != app || event.revision > to) continue;
    const PodEvent*& known = pods[event.uid];
    if (known != nullptr) {
      moment.active -= known->active() ? 1 : 0;
      moment.available -= known->available() ? 1 : 0;
    }
    moment.active += event.active() ? 1 : 0;
    moment.available += event.available() ? 1 : 0;
    known = &event;
    moment.revision = event.revision;
    moment.event = &event;
    if (event.revision > from) look(moment);
  }
}

}  // namespace

PodEvent PodEventOf(absl::string_view type, const json::Value& pod) {
  PodEvent event;
  event.revision = RevisionOf(pod);
  event.ns = TextOf(pod.Find("metadata", "namespace"));
  event.name = TextOf(pod.Find("metadata", "name"));
  event.uid = TextOf(pod.Find("metadata", "uid"));
  event.app = absl::StrCat(event.ns, "/", TextOf(pod.Find("metadata", "labels", "app")));
  event.owner = ControllerName(pod);
  event.index =
      TextOf(pod.Find("metadata", "annotations", "batch.kubernetes.io/job-completion-index"));
  event.phase = TextOf(pod.Find("status", "phase"));
  event.deleted = type == "DELETED";
  event.terminating = pod.Find("metadata", "deletionTimestamp") != nullptr;
  event.ready = IsReady(pod);
  const json::Value* containers = pod.Find("spec", "containers");
  if (containers != nullptr && !containers->items().empty()) {
    event.image = TextOf(containers->items()[0].Find("image"));
  }
  return event;
}

PodLog::PodLog(const history::ApiServerAddress& server) : server_(server) {
  const auto client = history::ApiClient::Connect(server_);
  if (!client.ok() || !Begin(**client)) surprises_.push_back("no first list");
  thread_ = std::thread([this] { Run(); });
}

PodLog::~PodLog() {
  stop_ = true;
  thread_.join();
}

bool PodLog::Begin(history::ApiClient& client) {
  const history::ApiClient::Answer list = client.Do("GET", "/api/v1/pods");
  if (list.code != 200) return false;
  revision_ = RevisionOf(list.body);
  const json::Value* items = list.body.Find("items");
  if (items == nullptr) return true;
  for (const json::Value& pod : items->items()) events_.push_back(PodEventOf("ADDED", pod));
  std::stable_sort(events_.begin(), events_.end(),
                   [](const PodEvent& a, const PodEvent& b) { return a.revision < b.revision; });
  return true;
}

void PodLog::Run() {
  while (!stop_) {
    const auto client = history::ApiClient::Connect(server_);
    if (!client.ok()) {
      machine::PauseBriefly();  // the server is being killed and begun again
      continue;
    }
    int64_t from;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      from = revision_;
    }
    const int code = (*client)->Watch(
        absl::StrCat("/api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=", from),
        [this](const json::Value& event) { return OnEvent(event); },
        [this] { return !stop_.load(); });
    if (code == 200 || code == 0 || code >= 500) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    surprises_.push_back(absl::StrCat("watch from ", from, ": ", code));
    machine::PauseBriefly();
  }
}

bool PodLog::OnEvent(const json::Value& event) {
  const absl::string_view type = event.FindString("type");
  const json::Value* object = event.Find("object");
  const std::lock_guard<std::mutex> lock(mutex_);
  if (object == nullptr || type == "ERROR") {
    surprises_.push_back("an error in a watch");
    return false;
  }
  revision_ = std::max(revision_, RevisionOf(*object));
  if (type != "BOOKMARK") events_.push_back(PodEventOf(type, *object));
  changed_.notify_all();
  return true;
}

std::vector<PodEvent> PodLog::events() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return events_;
}

std::vector<std::string> PodLog::surprises() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return surprises_;
}

bool PodLog::WaitFor(int64_t revision) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, kWaitMax, [&] { return revision_ >= revision; });
}

std::vector<std::string> CheckBounds(const std::vector<PodEvent>& events, absl::string_view app,
                                     int64_t from, int64_t to, const Bounds& bounds) {
  std::vector<std::string> out;
  Replay(events, app, from, to, [&](const Moment& moment) {
    if (out.size() >= kFindingsMax) return;
    if (moment.active > bounds.active_max || moment.available < bounds.available_min) {
      out.push_back(absl::StrCat("revision ", moment.revision, ", pod ", moment.event->name, ": ",
                                 moment.active, " active (at most ", bounds.active_max, "), ",
                                 moment.available, " available (at least ", bounds.available_min,
                                 ")"));
    }
  });
  return out;
}

Extremes ExtremesOf(const std::vector<PodEvent>& events, absl::string_view app, int64_t from,
                    int64_t to) {
  Extremes out;
  Replay(events, app, from, to, [&](const Moment& moment) {
    out.active_min = std::min(out.active_min, moment.active);
    out.active_max = std::max(out.active_max, moment.active);
    out.available_min = std::min(out.available_min, moment.available);
    out.available_max = std::max(out.available_max, moment.available);
  });
  return out;
}

std::vector<std::string> CheckNames(const std::vector<PodEvent>& events) {
  std::vector<std::string> out;
  std::map<std::string, std::string> uids;  // by ns/name, of pods that are there
  for (const PodEvent& event : events) {
    const std::string key = absl::StrCat(event.ns, "/", event.name);
    const auto found = uids.find(key);
    if (found != uids.end() && found->second != event.uid && out.size() < kFindingsMax) {
      out.push_back(absl::StrCat("revision ", event.revision, ": a second pod ", key));
    }
    if (event.deleted) {
      uids.erase(key);
    } else {
      uids[key] = event.uid;
    }
  }
  return out;
}

std::vector<std::string> CheckCompletions(const std::vector<PodEvent>& events) {
  std::vector<std::string> out;
  std::map<std::string, std::set<std::string>> succeeded;  // uids by Job and index
  for (const PodEvent& event : events) {
    if (event.index.empty() || event.phase != "Succeeded") continue;
    std::set<std::string>& uids =
        succeeded[absl::StrCat(event.ns, "/", event.owner, " index ", event.index)];
    if (uids.insert(event.uid).second && uids.size() == 2 && out.size() < kFindingsMax) {
      out.push_back(absl::StrCat("revision ", event.revision, ": ", event.ns, "/", event.owner,
                                 " index ", event.index, " succeeds a second time"));
    }
  }
  return out;
}

}  // namespace meltemi::controllers
