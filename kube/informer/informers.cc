#include <google/protobuf/message.h>

#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/informer/limits.h"
#include "kube/informer/reflector.h"
#include "kube/informer/store.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Message;

class StoreInformer final : public Informer, public ReflectorSink {
 public:
  StoreInformer(Client& client, Executor& executor, const InformerOptions& options,
                const InformerLimits& limits, const ReflectedKind& kind,
                std::function<void()> on_synced)
      : resource_(kind.resource),
        on_synced_(std::move(on_synced)),
        store_(limits.messages_max),
        reflector_(std::make_shared<Reflector>(client, executor, options, kind, *this)) {}

  // Once.
  void Start() {
    started_ = true;
    reflector_->Start();
  }
  bool started() const { return started_; }
  void Stop() { reflector_->Stop(); }

  const ApiResource& resource() const override { return resource_; }
  void AddIndex(absl::string_view name, IndexFunction function) override {
    if (Early()) store_.AddIndex(name, std::move(function));
  }
  void AddHandler(std::function<void(const Change&)> handler) override {
    if (Early()) handlers_.push_back(std::move(handler));
  }
  void SetTransform(Transform transform) override {
    if (Early()) transform_ = std::move(transform);
  }

  bool synced() const override { return synced_; }
  int64_t revision() const override { return revision_; }
  MessagePtr GetMessage(absl::string_view ns, absl::string_view name) const override {
    return store_.Get(ns, name);
  }
  std::vector<MessagePtr> ListMessages(absl::string_view ns) const override {
    return store_.List(ns);
  }
  std::vector<MessagePtr> IndexedMessages(absl::string_view index,
                                          absl::string_view key) const override {
    return store_.Indexed(index, key);
  }
  size_t size() const override { return store_.size(); }

 private:
  // What comes later would miss the first list.
  bool Early() const {
    if (started_) BUG_ONCE("an informer was asked for indexes or handlers after its start");
    return !started_;
  }

  void OnListBegin() override { listed_.clear(); }

  void OnListed(std::unique_ptr<Message> object) override {
    if (transform_) transform_(*object);
    listed_.push_back(store_.Listed(std::move(object)));
  }

  void OnList(int64_t revision) override {
    store_.Replace(std::exchange(listed_, {}), [&](const Change& change) {
      // The store has all of them by now.
      revision_ = revision;
      Tell(change, !synced_);
    });
    revision_ = revision;
    if (!synced_.exchange(true)) on_synced_();
  }

  void OnObject(std::unique_ptr<Message> object, bool gone, int64_t revision) override {
    if (transform_) transform_(*object);
    Change change;
    const bool changed = store_.Apply(std::move(object), gone, &change);
    revision_ = revision;
    if (changed) Tell(change, false);
  }

  void OnBookmark(int64_t revision) override { revision_ = revision; }
  void OnFailure(const Status&) override {}

  void Tell(Change change, bool initial) const {
    change.initial = initial;
    for (const auto& handler : handlers_) handler(change);
  }

  const ApiResource resource_;
  const std::function<void()> on_synced_;
  ObjectStore store_;
  std::vector<KeptPtr> listed_;  // by a list that is not at its end
  std::atomic<bool> started_ = false, synced_ = false;
  std::atomic<int64_t> revision_ = 0;
  // Not changed once it has started.
  std::vector<std::function<void(const Change&)>> handlers_;
  Transform transform_;
  const std::shared_ptr<Reflector> reflector_;
};

class SharedInformers final : public Informers {
 public:
  SharedInformers(Client& client, Executor& executor, const InformerOptions& options,
                  const InformerLimits& limits)
      : client_(client), executor_(executor), options_(options), limits_(limits) {}

  ~SharedInformers() override { Stop(); }

  Informer& Of(const Message& prototype, absl::string_view field_selector) override {
    return Of({.prototype = prototype,
               .resource = ResourceOf(*prototype.GetDescriptor()),
               .field_selector = std::string(field_selector)});
  }
  Informer& OfMetadata(const ApiResource& resource) override {
    return Of({.prototype = meta::v1::PartialObjectMetadata::default_instance(),
               .resource = resource,
               .metadata_only = true});
  }

  void Start(std::function<void()> on_synced) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (on_synced) waiting_.push_back(std::move(on_synced));
      for (auto& [key, informer] : informers_) {
        if (!informer->started()) informer->Start();
      }
    }
    OnSynced();
  }

  bool synced() const override { return Waiting().empty(); }

  std::string Waiting() const override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string out;
    for (const auto& [key, informer] : informers_) {
      if (informer->synced()) continue;
      absl::StrAppend(&out, out.empty() ? "" : ", ",
                      informer->resource().group_resource().ToString());
    }
    return out;
  }

  void Stop() override {
    std::vector<StoreInformer*> all;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_.clear();
      for (auto& [key, informer] : informers_) all.push_back(informer.get());
    }
    for (StoreInformer* informer : all) informer->Stop();
  }

 private:
  Informer& Of(const ReflectedKind& kind) {
    const std::string key = absl::StrCat(kind.resource.Path(""), " ", kind.field_selector,
                                         kind.metadata_only ? " metadata" : "");
    const std::lock_guard<std::mutex> lock(mutex_);
    std::unique_ptr<StoreInformer>& at = informers_[key];
    if (at == nullptr) {
      at = std::make_unique<StoreInformer>(client_, executor_, options_, limits_, kind,
                                           [this] { OnSynced(); });
    }
    return *at;
  }

  // With the lock held.
  bool StartedAreSynced() const {
    for (const auto& [key, informer] : informers_) {
      if (informer->started() && !informer->synced()) return false;
    }
    return true;
  }

  // One more is synced, or somebody waits for all.
  void OnSynced() {
    std::vector<std::function<void()>> told;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (StartedAreSynced()) told.swap(waiting_);
    }
    for (std::function<void()>& each : told) executor_.Run(std::move(each));
  }

  Client& client_;
  Executor& executor_;
  const InformerOptions options_;
  const InformerLimits limits_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, std::unique_ptr<StoreInformer>> informers_;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace

std::unique_ptr<Informers> NewInformers(Client& client, Executor& executor,
                                        const InformerOptions& options) {
  return NewInformers(client, executor, options, InformerLimits());
}

std::unique_ptr<Informers> NewInformers(Client& client, Executor& executor,
                                        const InformerOptions& options,
                                        const InformerLimits& limits) {
  return std::make_unique<SharedInformers>(client, executor, options, limits);
}

}  // namespace meltemi::kube
