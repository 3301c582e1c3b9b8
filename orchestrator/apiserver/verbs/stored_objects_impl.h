// The parts of StoredObjects, shared by its source files alone.
//
// Threads: as objects.h.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "orchestrator/apiserver/verbs/stored_objects.h"

namespace meltemi::apiserver {

// One object as it was found: what a write is based on.
struct LiveObject {
  bool exists = false;
  store::Revision revision = 0;  // mod_revision; 0 when it does not exist
  json::Value stored;            // the stored tree, without resourceVersion
  bool fresh = false;            // read from the store, not from the cache
};

// Events go away by themselves: they are written under leases that many of them share.
class EventLeases {
 public:
  EventLeases(store::Store& store, const Clock& clock) : store_(store), clock_(clock) {}
  absl::StatusOr<int64_t> Get();

 private:
  store::Store& store_;
  const Clock& clock_;
  std::mutex mutex_;
  // Guarded by mutex_.
  int64_t lease_ = 0;
  int uses_ = 0;
  MonotonicTime granted_at_;
};

class StoredObjects final : public Objects {
 public:
  explicit StoredObjects(const ObjectsDeps& deps)
      : deps_(deps), event_leases_(deps.store, deps.clock) {}

  kube::Result<json::Value> Get(const Resource& resource, absl::string_view ns,
                                absl::string_view name) override;
  kube::Result<Written> Create(const Resource& resource, absl::string_view ns, json::Value object,
                               WriteContext& context) override;
  kube::Result<Written> Update(const Resource& resource, absl::string_view ns,
                               absl::string_view name, const UpdateFunction& update,
                               bool allow_create, WriteContext& context) override;
  kube::Result<json::Value> Delete(const Resource& resource, absl::string_view ns,
                                   absl::string_view name, const DeleteRequest& request,
                                   WriteContext& context, bool* deleted_now) override;

 private:
  struct Target {
    const Resource& resource;
    std::string ns, name, key;
  };
  // What an attempt to write came to.
  struct Attempt {
    std::optional<kube::Result<Written>> result;  // nullopt: try again with `live`
    LiveObject live;
  };

  // objects.cc
  kube::Result<LiveObject> Load(const Target& target, bool fresh);
  static kube::Result<LiveObject> Parsed(const Target& target,
                                         const std::optional<store::KeyValue>& kv);
  // In the version of the resource, with resourceVersion, empty members dropped.
  static json::Value InVersion(const Target& target, LiveObject live);
  // What is answered of an object that was just written.
  static json::Value Answered(const Resource& resource, json::Value object,
                              store::Revision revision);
  void Track(const Resource& resource, const WriteContext& context, const json::Value& live,
             json::Value& object);
  AdmissionRequest Asked(const Target& target, Operation operation, const WriteContext& context);
  kube::Outcome Admit(bool mutate, AdmissionRequest& request, WriteContext& context);
  kube::Outcome MutateNew(const Target& target, WriteContext& context, json::Value& object);
  kube::Result<Written> CreateOnce(const Target& target, json::Value object, WriteContext& context);
  kube::Result<store::TxnResult> Write(const Target& target, store::Revision expected,
                                       std::string value);
  kube::Result<store::TxnResult> Remove(const Target& target, store::Revision expected);
  int64_t NowSeconds() const;

  // objects_update.cc
  Attempt UpdateOnce(const Target& target, LiveObject& live, const UpdateFunction& update,
                     bool allow_create, WriteContext& context);
  Attempt CreateByUpdate(const Target& target, json::Value object, WriteContext& context);
  kube::Outcome CheckIdentity(const Target& target, const json::Value& current,
                              const WriteContext& context, json::Value& object);
  kube::Outcome PrepareUpdate(const Target& target, const json::Value& current,
                              WriteContext& context, json::Value& object);
  Attempt WriteUpdate(const Target& target, const LiveObject& live, const json::Value& current,
                      json::Value object, const WriteContext& context);
  Attempt Unchanged(const Target& target, const LiveObject& live, const json::Value& current);

  // objects_delete.cc
  struct Deletion;
  kube::Result<Deletion> PlanDeletion(const Target& target, const LiveObject& live,
                                      const DeleteRequest& request);
  Attempt DeleteOnce(const Target& target, const LiveObject& live, const DeleteRequest& request,
                     WriteContext& context, bool* deleted_now);

  const ObjectsDeps deps_;
  EventLeases event_leases_;
  std::mutex random_mutex_;  // guards deps_.random
};

// Objects of core namespaces also wait for spec.finalizers.
bool HasFinalizers(const Resource& resource, const json::Value& object);

}  // namespace meltemi::apiserver
