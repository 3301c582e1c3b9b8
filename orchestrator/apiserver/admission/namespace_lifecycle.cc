// NamespaceLifecycle: nothing is created in a namespace that is missing or going away.
#include <map>
#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/plugin.h"

namespace meltemi::apiserver {
namespace {

// For this long after a deletion was asked for, the cache alone is not believed.
constexpr Duration kRecent = seconds(30);
constexpr size_t kRecentMax = 100;

bool IsTerminating(const CachedObject& ns) {
  if (ns.json.find("\"Terminating\"") == std::string::npos) return false;
  return kube::TextAt(ns.Tree(), "status.phase") == "Terminating";
}

class NamespaceLifecycle final : public AdmissionPlugin {
 public:
  NamespaceLifecycle(const Clock& clock, WatchCache& cache) : clock_(clock), cache_(cache) {}

  absl::string_view name() const override { return "NamespaceLifecycle"; }

  kube::Outcome Mutate(AdmissionRequest& request) override {
    if (request.operation == Operation::kConnect) return kube::Done{};
    if (IsResource(request, "", "namespaces")) return OfNamespace(request);
    if (request.ns.empty() || request.operation == Operation::kDelete) return kube::Done{};
    // Whether there is such a namespace is not for everybody to know.
    if (IsResource(request, "authorization.k8s.io", "localsubjectaccessreviews")) {
      return kube::Done{};
    }
    kube::Result<ObjectPtr> found = cache_.Get(storage_, "", request.ns, false);
    if (!found.ok()) return found.status();
    const bool active = *found != nullptr && !IsTerminating(**found);
    if (*found == nullptr || (active && DeletedLately(request.ns))) {
      found = cache_.Get(storage_, "", request.ns, true);
      if (!found.ok()) return found.status();
      if (*found == nullptr) return kube::NotFound(storage_, request.ns);
    }
    if (request.operation != Operation::kCreate || !IsTerminating(**found)) return kube::Done{};
    kube::Status refused =
        Refuse(request, absl::StrCat("unable to create new content in namespace ", request.ns,
                                     " because it is being terminated"));
    refused.causes.push_back({"NamespaceTerminating",
                              absl::StrCat("namespace ", request.ns, " is being terminated"),
                              "metadata.namespace"});
    return refused;
  }

 private:
  kube::Outcome OfNamespace(const AdmissionRequest& request) {
    if (request.operation != Operation::kDelete) return kube::Done{};
    if (request.name == "default" || request.name == "kube-system" ||
        request.name == "kube-public") {
      return kube::Forbidden(storage_, request.name, "this namespace may not be deleted");
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (deleted_.size() >= kRecentMax) Forget();
    deleted_[request.name] = clock_.Now();
    return kube::Done{};
  }

  bool DeletedLately(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = deleted_.find(name);
    return at != deleted_.end() && clock_.Now() - at->second < kRecent;
  }

  // With mutex_ held: what is old; one when nothing is.
  void Forget() {
    const MonotonicTime now = clock_.Now();
    for (auto at = deleted_.begin(); at != deleted_.end();) {
      at = now - at->second >= kRecent ? deleted_.erase(at) : std::next(at);
    }
    if (deleted_.size() >= kRecentMax) deleted_.erase(deleted_.begin());
  }

  const Clock& clock_;
  WatchCache& cache_;
  const kube::GroupResource storage_{"", "namespaces"};

  std::mutex mutex_;
  std::map<std::string, MonotonicTime> deleted_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewNamespaceLifecycle(const Clock& clock, WatchCache& cache) {
  return std::make_unique<NamespaceLifecycle>(clock, cache);
}

}  // namespace meltemi::apiserver
