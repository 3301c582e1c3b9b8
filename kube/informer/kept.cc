#include "kube/informer/kept.h"

#include <google/protobuf/message.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "base/bytes/xxhash.h"
#include "kube/codec/pack.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {

using google::protobuf::Message;

KeptObject ObjectKeeper::Describe(const Message& object) {
  const meta::v1::ObjectMeta& meta = MetaOf(object);
  KeptObject out;
  out.name = {meta.namespace_(), meta.name()};
  const std::string& version = meta.resource_version();
  if (!absl::SimpleAtoi(version, &out.version)) out.version = 0;
  if (!version.empty()) out.identity = XxHash64(version, XxHash64(meta.uid())) | 1;
  return out;
}

KeptPtr ObjectKeeper::Keep(const MessagePtr& object) {
  if (prototype_ == nullptr) {
    prototype_ = google::protobuf::MessageFactory::generated_factory()->GetPrototype(
        object->GetDescriptor());
  }
  auto kept = std::make_shared<KeptObject>(Describe(*object));
  kept->lock = next_lock_++ % locks_.size();
  kept->message = object;
  Stay(kept);
  return kept;
}

MessagePtr ObjectKeeper::Read(const KeptPtr& kept, bool often) {
  MessagePtr out;
  {
    const std::lock_guard<std::mutex> lock(locks_[kept->lock]);
    if (kept->message != nullptr) return kept->message;
    out = kept->shared.lock();
    if (out == nullptr) {
      std::shared_ptr<Message> unpacked((*prototype_).New());
      Unpack(kept->packed, unpacked.get());
      out = std::move(unpacked);
      kept->shared = out;
    }
    if (!often) return out;
    kept->message = out;
  }
  Stay(kept);
  return out;
}

void ObjectKeeper::Stay(const KeptPtr& kept) {
  std::weak_ptr<KeptObject> oldest[2];
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    messages_.push_back(kept);
    // Two for one, so that what is held and comes back does not make the queue grow for ever.
    for (std::weak_ptr<KeptObject>& each : oldest) {
      if (messages_.size() <= messages_max_) break;
      each = std::move(messages_.front());
      messages_.pop_front();
    }
  }
  for (const std::weak_ptr<KeptObject>& each : oldest) {
    const KeptPtr old = each.lock();
    if (old == nullptr || PackUnlessHeld(old.get())) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    messages_.push_back(old);
  }
}

bool ObjectKeeper::PackUnlessHeld(KeptObject* kept) {
  MessagePtr dropped;  // destroyed without the lock
  const std::lock_guard<std::mutex> lock(locks_[kept->lock]);
  if (kept->message == nullptr) return true;
  if (kept->message.use_count() > 1) return false;
  if (kept->packed.empty()) kept->packed = Pack(*kept->message);
  dropped.swap(kept->message);
  return true;
}

}  // namespace meltemi::kube
