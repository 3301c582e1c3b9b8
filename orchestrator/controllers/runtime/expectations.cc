#include "orchestrator/controllers/runtime/expectations.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::controllers {
namespace {

// Gone, replaced by another one of the same name, or on its way out.
bool IsGone(const kube::Informer& informer, const kube::NamespacedName& name,
            const std::string& uid) {
  const kube::MessagePtr object = informer.GetMessage(name.ns, name.name);
  if (object == nullptr) return true;
  const kube::meta::v1::ObjectMeta& meta = kube::MetaOf(*object);
  return meta.uid() != uid || meta.has_deletion_timestamp();
}

}  // namespace

Expectations::Entry& Expectations::EntryOf(const kube::NamespacedName& owner) {
  Entry& entry = entries_[owner];
  entry.since = clock_.Now();
  return entry;
}

void Expectations::ExpectRevision(const kube::NamespacedName& owner,
                                  absl::string_view resource_version) {
  int64_t revision = 0;
  if (!absl::SimpleAtoi(resource_version, &revision)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = EntryOf(owner);
  entry.revision = std::max(entry.revision, revision);
}

void Expectations::ExpectGone(const kube::NamespacedName& owner,
                              const google::protobuf::Message& object) {
  const std::lock_guard<std::mutex> lock(mutex_);
  EntryOf(owner).going.emplace(kube::MetaOf(object).uid(), kube::NameOf(object));
}

void Expectations::Forget(const kube::NamespacedName& owner,
                          const google::protobuf::Message& object) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(owner);
  if (found != entries_.end()) found->second.going.erase(kube::MetaOf(object).uid());
}

void Expectations::Doubt(const kube::NamespacedName& owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  in_doubt_.insert(owner);
}

bool Expectations::InDoubt(const kube::NamespacedName& owner) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return in_doubt_.count(owner) != 0;
}

void Expectations::Settled(const kube::NamespacedName& owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  in_doubt_.erase(owner);
}

bool Expectations::Met(const kube::NamespacedName& owner, const kube::Informer& informer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(owner);
  if (found == entries_.end()) return true;
  Entry& entry = found->second;
  for (auto it = entry.going.begin(); it != entry.going.end();) {
    it = IsGone(informer, it->second, it->first) ? entry.going.erase(it) : std::next(it);
  }
  const bool met = entry.going.empty() && informer.revision() >= entry.revision;
  if (!met && clock_.Now() - entry.since < kTimeout) return false;
  entries_.erase(found);
  return true;
}

void Expectations::Drop(const kube::NamespacedName& owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.erase(owner);
  in_doubt_.erase(owner);
}

}  // namespace meltemi::controllers
