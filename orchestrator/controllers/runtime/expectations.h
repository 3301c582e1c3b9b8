// What a controller has written and its informer has not shown yet: until then a reconcile would
// count wrongly (and create a second pod for one that it does not see), so it waits.
//
//   if (!expectations_.Met(key, pods_.informer())) return Finished();   // an event brings it back
//   … create: expectations_.ExpectRevision(key, created.metadata().resource_version());
//   … delete: expectations_.ExpectGone(key, uid);
//   informer handler: expectations_.Observe(change);
//
// Threads: thread-safe. Instead of Kubernetes' counters: revisions, which can't be counted wrongly.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/informer/informer.h"
#include "kube/names/names.h"

namespace meltemi::controllers {

class Expectations {
 public:
  // `clock` outlives it. What has not come after five minutes is not waited for any longer.
  explicit Expectations(const Clock& clock) : clock_(clock) {}

  // The owner's informer for the written kind must see this revision. A revision that is no number
  // is not waited for.
  void ExpectRevision(const kube::NamespacedName& owner, absl::string_view resource_version);
  // The object with this uid is to be deleted, or to have a deletionTimestamp.
  void ExpectGone(const kube::NamespacedName& owner, absl::string_view uid);
  // The deletion has failed: it is not waited for.
  void Forget(const kube::NamespacedName& owner, absl::string_view uid);
  // To be called with each change of the written kind.
  void Observe(const kube::Change& change);

  // Whether all that was expected of the owner has been seen.
  bool Met(const kube::NamespacedName& owner, const kube::Informer& informer);
  // The owner is gone.
  void Drop(const kube::NamespacedName& owner);

 private:
  struct Entry {
    int64_t revision = 0;
    std::set<std::string> going;  // uids
    MonotonicTime since;
  };

  const Clock& clock_;
  std::mutex mutex_;
  std::map<kube::NamespacedName, Entry> entries_;
};

}  // namespace meltemi::controllers
