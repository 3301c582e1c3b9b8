// What a controller has written and its informer has not shown yet: until then a reconcile would
// count wrongly (and create a second pod for one that it does not see), so it waits.
//
//   if (!expectations_.Met(key, pods_.informer())) return Expectations::Wait();
//   … created: expectations_.ExpectRevision(key, created.metadata().resource_version());
//   … before a deletion: expectations_.ExpectGone(key, pod);   when it failed: Forget(key, pod)
//
// Nothing is counted, as Kubernetes does it: Met looks at what the informer shows, so no event can
// be counted twice, or be missed. The event that makes it true enqueues the owner anyway.
//
// Threads: thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/informer/informer.h"
#include "kube/names/names.h"
#include "kube/queue/controller.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

class Expectations {
 public:
  // What has not come by then is not waited for any longer.
  static constexpr Duration kTimeout = minutes(5);

  // `clock` outlives it.
  explicit Expectations(const Clock& clock) : clock_(clock) {}

  // The owner's informer for the written kind must see this revision. A revision that is no number
  // is not waited for.
  void ExpectRevision(const kube::NamespacedName& owner, absl::string_view resource_version);
  // This object, by name and uid, is to be gone or to have a deletionTimestamp. To be said before
  // the call that deletes it: the event may be faster than the answer.
  void ExpectGone(const kube::NamespacedName& owner, const google::protobuf::Message& object);
  // The deletion has failed: it is not waited for.
  void Forget(const kube::NamespacedName& owner, const google::protobuf::Message& object);

  // A write has ended without telling whether it took place (IsInDoubt of its status): a reconcile
  // that goes by the informer might do it twice. SettleDoubt (doubt.h) asks the API server first.
  void Doubt(const kube::NamespacedName& owner);
  bool InDoubt(const kube::NamespacedName& owner) const;
  void Settled(const kube::NamespacedName& owner);

  // Whether all that was expected of the owner is seen by the informer.
  bool Met(const kube::NamespacedName& owner, const kube::Informer& informer);
  // The owner is gone.
  void Drop(const kube::NamespacedName& owner);

  // What a reconcile returns when they are not met.
  static kube::ReconcileResult Wait() { return kube::Again(kTimeout); }

 private:
  struct Entry {
    int64_t revision = 0;
    std::map<std::string, kube::NamespacedName> going;  // by uid
    MonotonicTime since;
  };
  Entry& EntryOf(const kube::NamespacedName& owner);

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<kube::NamespacedName, Entry> entries_;
  std::set<kube::NamespacedName> in_doubt_;
};

// No answer, or one of a server that failed on the way: the write may have taken place.
inline bool IsInDoubt(const kube::Status& status) { return status.code == 0 || status.code >= 500; }

}  // namespace meltemi::controllers
