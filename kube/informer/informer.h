// Informers: all objects of one kind as the API server has them, kept up to date by a list and a
// watch, with indexes; and whoever wants to know of changes is told.
//
// What they show lags behind the API server, but only moves forward. A relist (after 410, or a lost
// connection whose place is no longer known) is told as the changes that it amounts to.
//
// Threads: reading is thread-safe. Handlers are called one at a time per informer, in order, on a
// thread of the client's or of the executor's; they must not block: they put keys into queues.
// Indexes and handlers are added before Start.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "kube/client/meta.h"
#include "kube/client/resource.h"
#include "kube/names/names.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube {

class Client;
class Executor;

using MessagePtr = std::shared_ptr<const google::protobuf::Message>;

struct Change {
  enum class Type : uint8_t { kAdded, kModified, kDeleted };
  Type type = Type::kAdded;
  MessagePtr before;  // null for kAdded
  MessagePtr after;   // null for kDeleted
  // Part of the first list.
  bool initial = false;
};

// The keys under which an object is found by an index: "ns/name" of its owner, its node, …
using IndexFunction = std::function<std::vector<std::string>(const google::protobuf::Message&)>;

// What an informer keeps is changed first, where memory counts: fields that nobody reads are
// cleared.
using Transform = std::function<void(google::protobuf::Message&)>;

class Informer {
 public:
  virtual ~Informer() = default;

  virtual const ApiResource& resource() const = 0;

  // Before Start. Twice with one name: nothing happens.
  virtual void AddIndex(absl::string_view name, IndexFunction function) = 0;
  virtual void AddHandler(std::function<void(const Change&)> handler) = 0;
  // One, the last.
  virtual void SetTransform(Transform transform) = 0;

  // The first list is in, and every handler has been told of it.
  virtual bool synced() const = 0;
  // Everything up to this resourceVersion has been seen, as a number; 0 before the first list.
  // Our API server's, etcd's and so Kubernetes' resourceVersions grow with time and are shared by
  // all kinds.
  virtual int64_t revision() const = 0;

  // Null: there is none.
  virtual MessagePtr GetMessage(absl::string_view ns, absl::string_view name) const = 0;
  // Sorted by namespace and name; `ns` empty: all.
  virtual std::vector<MessagePtr> ListMessages(absl::string_view ns) const = 0;
  virtual std::vector<MessagePtr> IndexedMessages(absl::string_view index,
                                                  absl::string_view key) const = 0;
  virtual size_t size() const = 0;
};

// The typed look at an informer of T: cheap to copy.
template <typename T>
class Lister {
 public:
  using Ptr = std::shared_ptr<const T>;

  explicit Lister(const Informer& informer) : informer_(&informer) {}

  Ptr Get(absl::string_view ns, absl::string_view name) const {
    return Cast(informer_->GetMessage(ns, name));
  }
  Ptr Get(const NamespacedName& key) const { return Get(key.ns, key.name); }
  std::vector<Ptr> List(absl::string_view ns = "") const {
    return Cast(informer_->ListMessages(ns));
  }
  std::vector<Ptr> ByIndex(absl::string_view index, absl::string_view key) const {
    return Cast(informer_->IndexedMessages(index, key));
  }
  const Informer& informer() const { return *informer_; }

  static Ptr Cast(MessagePtr message) { return std::static_pointer_cast<const T>(message); }

 private:
  static std::vector<Ptr> Cast(std::vector<MessagePtr> messages) {
    std::vector<Ptr> out;
    out.reserve(messages.size());
    for (MessagePtr& message : messages) out.push_back(Cast(std::move(message)));
    return out;
  }

  const Informer* informer_;
};

// One informer per kind, shared by all who ask for it.
class Informers {
 public:
  virtual ~Informers() = default;

  // `prototype`: the default instance of the kind. `field_selector`: part of the identity, for who
  // wants some of the objects only ("spec.nodeName=n1").
  virtual Informer& Of(const google::protobuf::Message& prototype,
                       absl::string_view field_selector = "") = 0;
  template <typename T>
  Informer& Of(absl::string_view field_selector = "") {
    return Of(T::default_instance(), field_selector);
  }
  template <typename T>
  Lister<T> ListerOf(absl::string_view field_selector = "") {
    return Lister<T>(Of<T>(field_selector));
  }

  // Of any resource, custom ones too, the metadata alone: its objects are
  // meta::v1::PartialObjectMetadata, asked for as such.
  virtual Informer& OfMetadata(const ApiResource& resource) = 0;

  // Begins to list and watch all that have been asked for so far; may be called again after more
  // have been asked for. `on_synced` is called once when all of them are synced.
  virtual void Start(std::function<void()> on_synced = {}) = 0;
  // Ends the watches; no handler is under way or called afterwards. Reading goes on as it was: so
  // the order at the end is Stop, then the controllers, then this.
  virtual void Stop() = 0;
  virtual bool synced() const = 0;
  // Which are not yet: "pods, nodes". For health checks and logs.
  virtual std::string Waiting() const = 0;
};

struct InformerOptions {
  // Between tries to list or watch: doubled up to the maximum, and part of it at random.
  int64_t backoff_min_ms = 800;
  int64_t backoff_max_ms = 30'000;
};

// Destroying stops. `client` and `executor` outlive it.
std::unique_ptr<Informers> NewInformers(Client& client, Executor& executor,
                                        const InformerOptions& options = {});

}  // namespace meltemi::kube
