#include "orchestrator/controllers/namespaces/content.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/client.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/discovery/any_resource.h"
#include "kube/discovery/discovery.h"

namespace meltemi::controllers {
namespace {

// Until whoever owns a finalizer has acted.
constexpr int64_t kFinalizerEstimateS = 15;

bool IsPods(const kube::ApiResource& resource) {
  return resource.group.empty() && resource.resource == "pods";
}

// There is no such resource any more, or it can't do that.
bool IsUnsupported(const kube::Status& status) {
  return kube::IsNotFound(status) || status.code == 404 || status.code == 405;
}

// The longest grace period of pods that have not ended.
kube::Result<int64_t> PodGraceSeconds(kube::Client& client, absl::string_view ns) {
  kube::ListOptions options;
  options.ns = std::string(ns);
  const kube::Result<std::vector<kube::core::v1::Pod>> pods =
      kube::List<kube::core::v1::Pod>(client, options);
  if (!pods.ok()) return pods.status();
  int64_t longest_s = 0;
  for (const kube::core::v1::Pod& pod : *pods) {
    if (pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed") continue;
    longest_s = std::max(longest_s, pod.spec().termination_grace_period_seconds());
  }
  return longest_s;
}

kube::Outcome DeleteEach(kube::Client& client, const kube::ApiResource& resource,
                         absl::string_view ns, const std::vector<kube::ObjectHead>& objects) {
  for (const kube::ObjectHead& object : objects) {
    kube::DeleteOptions options;
    options.propagation = "Background";
    const kube::Outcome deleted = kube::Delete(client, resource, ns, object.name, options);
    if (!deleted.ok() && !IsUnsupported(deleted.status())) return deleted.status();
  }
  return kube::Done{};
}

// Deletes all objects of one resource and tells what is left.
class ResourcePass {
 public:
  ResourcePass(kube::Client& client, absl::string_view ns, Duration terminating_for,
               ContentReport& report)
      : client_(client), ns_(ns), terminating_for_(terminating_for), report_(report) {}

  void Run(const kube::ServedResource& served) {
    const kube::Outcome done = DeleteAll(served);
    if (!done.ok()) report_.failures.push_back(done.status().message);
  }

 private:
  kube::Outcome DeleteAll(const kube::ServedResource& served) {
    const kube::ApiResource& resource = served.resource;
    std::vector<kube::ObjectHead> left;
    if (served.Can("list")) {
      // Most kinds have nothing in most namespaces: one call less for each.
      kube::Result<std::vector<kube::ObjectHead>> listed = List(resource);
      if (!listed.ok()) return listed.status();
      if (listed->empty()) return kube::Done{};
      left = *std::move(listed);
    }
    int64_t estimate_s = 0;
    if (IsPods(resource)) {
      const kube::Result<int64_t> grace_s = PodGraceSeconds(client_, ns_);
      if (!grace_s.ok()) return grace_s.status();
      if (terminating_for_ < seconds(*grace_s)) estimate_s = *grace_s;
    }
    report_.estimate_s = std::max(report_.estimate_s, estimate_s);
    const kube::Outcome deleted = Delete(served, left);
    if (!deleted.ok()) return deleted.status();
    if (!served.Can("list")) return kube::Done{};
    const kube::Result<std::vector<kube::ObjectHead>> after = List(resource);
    if (!after.ok()) return after.status();
    return Account(resource, *after, estimate_s);
  }

  // What is not served any more has no objects.
  kube::Result<std::vector<kube::ObjectHead>> List(const kube::ApiResource& resource) {
    kube::Result<std::vector<kube::ObjectHead>> listed = kube::ListHeads(client_, resource, ns_);
    if (!listed.ok() && IsUnsupported(listed.status())) return std::vector<kube::ObjectHead>();
    return listed;
  }

  kube::Outcome Delete(const kube::ServedResource& served,
                       const std::vector<kube::ObjectHead>& objects) {
    if (served.Can("deletecollection")) {
      kube::Outcome deleted = kube::DeleteCollection(client_, served.resource, ns_);
      if (deleted.ok() || !IsUnsupported(deleted.status())) return deleted;
    }
    return DeleteEach(client_, served.resource, ns_, objects);
  }

  kube::Outcome Account(const kube::ApiResource& resource,
                        const std::vector<kube::ObjectHead>& left, int64_t estimate_s) {
    if (left.empty()) return kube::Done{};
    report_.remaining[resource.group_resource()] += static_cast<int64_t>(left.size());
    bool finalizers = false;
    for (const kube::ObjectHead& object : left) {
      for (const std::string& finalizer : object.finalizers) {
        ++report_.finalizers[finalizer];
        finalizers = true;
      }
    }
    if (estimate_s != 0) return kube::Done{};
    if (!finalizers) {
      kube::Status failure;
      failure.message = absl::StrCat("unexpected items still remain in namespace: ", ns_,
                                     " for gvr: ", resource.group, "/", resource.version,
                                     ", Resource=", resource.resource);
      return failure;
    }
    report_.estimate_s = std::max(report_.estimate_s, kFinalizerEstimateS);
    return kube::Done{};
  }

  kube::Client& client_;
  const absl::string_view ns_;
  const Duration terminating_for_;
  ContentReport& report_;
};

}  // namespace

ContentReport DeleteContent(kube::Client& client, absl::string_view ns, Duration terminating_for) {
  ContentReport report;
  const kube::Result<kube::ServedResources> served = kube::Discover(client);
  if (!served.ok()) {
    report.discovery_failure = served.status().message;
    return report;
  }
  report.discovery_failure = served->FailureText();
  std::vector<const kube::ServedResource*> order;
  for (const kube::ServedResource& each : served->resources) {
    if (each.preferred && each.resource.namespaced && each.Can("delete")) order.push_back(&each);
  }
  // Pods first: what they need while they end goes after they were told to.
  std::stable_partition(order.begin(), order.end(),
                        [](const kube::ServedResource* each) { return IsPods(each->resource); });
  ResourcePass pass(client, ns, terminating_for, report);
  for (const kube::ServedResource* each : order) pass.Run(*each);
  return report;
}

}  // namespace meltemi::controllers
