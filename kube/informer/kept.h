// Objects of an informer as they are kept: the most recent ones as messages, the others packed, and
// unpacked for who asks for them.
//
// Threads: thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>

#include "kube/informer/informer.h"
#include "kube/names/names.h"

namespace meltemi::kube {

// One version of one object.
struct KeptObject {
  NamespacedName name;
  int64_t version = 0;    // 0: it is no number
  uint64_t identity = 0;  // of its uid and resourceVersion; 0: it has none

  // The rest is ObjectKeeper's.
  size_t lock = 0;
  // Whoever has got it shares it as long as it lives.
  std::weak_ptr<const google::protobuf::Message> shared;
  MessagePtr message;  // null once it is packed
  std::string packed;
};
using KeptPtr = std::shared_ptr<KeptObject>;

class ObjectKeeper {
 public:
  explicit ObjectKeeper(size_t messages_max) : messages_max_(messages_max) {}

  // What is told of an object without keeping it.
  static KeptObject Describe(const google::protobuf::Message& object);

  KeptPtr Keep(const MessagePtr& object);
  // `often`: it is expected to be asked for again, and stays a message for a while.
  MessagePtr Read(const KeptPtr& kept, bool often);

 private:
  void Stay(const KeptPtr& kept);
  // False when somebody holds it: packing would save nothing.
  bool PackUnlessHeld(KeptObject* kept);

  const size_t messages_max_;
  std::atomic<const google::protobuf::Message*> prototype_ = nullptr;
  std::array<std::mutex, 64> locks_;  // of KeptObject::lock
  std::atomic<size_t> next_lock_ = 0;

  std::mutex mutex_;
  // Those that are messages, in the order in which they became so. Guarded by mutex_.
  std::deque<std::weak_ptr<KeptObject>> messages_;
};

}  // namespace meltemi::kube
