// The history of a template as ControllerRevisions: what StatefulSets and DaemonSets roll out and
// `kubectl rollout undo` goes back to.
//
// Threads: thread-safe; what takes a client blocks. Source: the behaviour of Kubernetes'
// pkg/controller/history; ControllerRevision's documentation.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/client.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/informer/informer.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers {

using RevisionPtr = std::shared_ptr<const kube::apps::v1::ControllerRevision>;

// {"spec":{"template":{"$patch":"replace",…}}}: a patch that brings the template back.
std::string RevisionData(const kube::core::v1::PodTemplateSpec& pod_template);
// Nothing when the data are of another shape.
std::optional<kube::core::v1::PodTemplateSpec> TemplateOf(
    const kube::apps::v1::ControllerRevision& revision);

// Whose history it is. All of it outlives the calls.
struct RevisionOwner {
  const google::protobuf::Message& object;
  const kube::core::v1::PodTemplateSpec& pod_template;
  const kube::LabelSelector& selector;
  // As ClaimOptions::may_adopt.
  std::function<kube::Result<bool>()> may_adopt;
  // Asked before the history is changed: an owner that is out of date would turn it back.
  std::function<kube::Outcome()> be_current;
  // The label of a revision that holds its hash.
  std::string hash_label;
};

// For RevisionOwner::be_current, and before anything is deleted: asks the API server whether the
// spec is still this one. After a change of leaders one informer may be far behind another.
template <typename T>
std::function<kube::Outcome()> BeCurrent(kube::Client& client, const T& owner) {
  return [&client, &owner]() -> kube::Outcome {
    const kube::meta::v1::ObjectMeta& meta = owner.metadata();
    const kube::Result<T> fresh = kube::Get<T>(client, meta.namespace_(), meta.name());
    if (!fresh.ok()) return fresh.status();
    if (fresh->metadata().uid() != meta.uid() ||
        fresh->metadata().generation() != meta.generation()) {
      return kube::ModifiedConflict(kube::ResourceOf<T>().group_resource(), meta.name());
    }
    return kube::Done{};
  };
}

class RevisionHistory final {
 public:
  // Adds its indexes to the informer: before that is started.
  RevisionHistory(kube::Client& client, kube::Informer& revisions, const Clock& clock);

  // False while the informer does not show what was written here.
  bool Ready(const kube::NamespacedName& owner);
  void Drop(const kube::NamespacedName& owner);

  // The owner's, oldest first. Orphans that its selector matches are adopted.
  kube::Result<std::vector<RevisionPtr>> List(const RevisionOwner& owner);
  // The revision of the template as it is now, which becomes the newest of `all` (oldest first): it
  // is made when there is none. A name that another one has taken counts `collision_count` up.
  kube::Result<RevisionPtr> Current(const RevisionOwner& owner, std::vector<RevisionPtr>& all,
                                    int& collision_count);
  // Deletes the oldest of those that are not in `live` (names), until `limit` of them are left.
  kube::Outcome Trim(const RevisionOwner& owner, const std::vector<RevisionPtr>& all,
                     const std::set<std::string>& live, int limit);

 private:
  kube::Result<RevisionPtr> Renew(const RevisionOwner& owner, const RevisionPtr& old,
                                  int64_t number);
  kube::Result<RevisionPtr> Create(const RevisionOwner& owner, int64_t number,
                                   int& collision_count);

  kube::Client& client_;
  kube::Informer& revisions_;
  Expectations writes_;
};

}  // namespace meltemi::controllers
