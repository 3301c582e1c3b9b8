#include "orchestrator/apiserver/crd/crd_catalog.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/crd/catalog.h"
#include "orchestrator/apiserver/crd/custom_resource.h"
#include "orchestrator/apiserver/crd/definition.h"
#include "orchestrator/apiserver/crd/definition_check.h"
#include "orchestrator/apiserver/crd/naming.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Tree = std::shared_ptr<const Value>;
using Trees = std::map<std::string, Tree>;

constexpr Duration kRetry = seconds(1);
constexpr Duration kWriteTimeout = seconds(30);
constexpr absl::string_view kGroup = "apiextensions.k8s.io";
constexpr absl::string_view kPlural = "customresourcedefinitions";

// What the cache's thread and ours share. The observer holds on to it: it outlives the catalog.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  Trees definitions;  // guarded by mutex, as the rest
  bool dirty = false;
  bool stopping = false;

  void OnEvent(const CacheEvent& event) {
    Tree tree = event.type == CacheEvent::Type::kDeleted
                    ? nullptr
                    : std::make_shared<const Value>(event.object->Tree());
    const std::lock_guard<std::mutex> lock(mutex);
    if (tree == nullptr) {
      definitions.erase(event.object->name);
    } else {
      definitions[event.object->name] = std::move(tree);
    }
    dirty = true;
    changed.notify_all();
  }
};

bool IsDeleting(const Value& definition) { return kube::BeingDeleted(definition); }

bool HasFinalizer(const Value& definition) {
  for (const std::string& finalizer : kube::Finalizers(definition)) {
    if (finalizer == kDefinitionFinalizer) return true;
  }
  return false;
}

// Whether AcceptNames would change nothing, for the many that have been settled long ago.
bool IsSettled(const Value& definition) {
  return HasCondition(definition, "Established") && HasCondition(definition, "NamesAccepted") &&
         Same(Get(definition, "spec", "names"), Get(definition, "status", "acceptedNames"));
}

class CrdController final : public CrdCatalog {
 public:
  CrdController(std::vector<std::shared_ptr<const Resource>> builtin, WatchCache& cache,
                const Clock& clock)
      : builtin_(WithDefinitions(std::move(builtin))),
        cache_(cache),
        clock_(clock),
        shared_(std::make_shared<Shared>()),
        catalog_(NewCatalog(builtin_, 1)) {}

  ~CrdController() override { Stop(); }

  std::shared_ptr<const Catalog> current() const override {
    const std::lock_guard<std::mutex> lock(catalog_mutex_);
    return catalog_;
  }

  void Start(Objects& objects) override {
    StartInSteps(objects);
    thread_ = std::thread([this] { Run(); });
  }

  void StartInSteps(Objects& objects) override {
    objects_ = &objects;
    const std::shared_ptr<Shared> shared = shared_;
    cache_.Observe({std::string(kGroup), std::string(kPlural)},
                   [shared](const CacheEvent& event) { shared->OnEvent(event); });
    Serve(Snapshot());
  }

  void Step() override {
    // A definition settles in three rounds; one that is deleted, too.
    constexpr int kRoundsMax = 20;
    for (int round = 0; round < kRoundsMax && Dirty(); ++round) Reconcile();
  }

  void Stop() override {
    {
      const std::lock_guard<std::mutex> lock(shared_->mutex);
      shared_->stopping = true;
      shared_->changed.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  // What is served of one definition.
  struct Served {
    Tree tree;        // that it was made from
    std::string key;  // of the parts that count
    CustomResources resources;
  };

  // What is particular about definitions is known here, not where the other kinds are.
  static std::vector<std::shared_ptr<const Resource>> WithDefinitions(
      std::vector<std::shared_ptr<const Resource>> resources) {
    for (std::shared_ptr<const Resource>& resource : resources) {
      if (auto definitions = AsDefinitionResource(resource)) resource = std::move(definitions);
    }
    return resources;
  }

  Trees Snapshot() {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->dirty = false;
    return shared_->definitions;
  }

  void Run() {
    for (;;) {
      const bool done = Reconcile();
      std::unique_lock<std::mutex> lock(shared_->mutex);
      const auto awake = [this] { return shared_->dirty || shared_->stopping; };
      if (done) {
        shared_->changed.wait(lock, awake);
      } else {
        shared_->changed.wait_for(lock, kRetry, awake);
      }
      if (shared_->stopping) return;
    }
  }

  // False: something is left to be done, whether or not anything changes.
  bool Reconcile() {
    const Trees trees = Snapshot();
    Promise(trees);
    Serve(trees);
    bool done = true;
    for (const auto& [name, tree] : trees) {
      if (Stopping()) return true;
      if (IsDeleting(*tree)) {
        done = Finalize(name, *tree) && done;
      } else if (!IsSettled(*tree)) {
        done = WriteNames(name, trees) && done;
      }
    }
    return done;
  }

  bool Dirty() {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    return shared_->dirty;
  }

  bool Stopping() {
    const std::lock_guard<std::mutex> lock(shared_->mutex);
    return shared_->stopping;
  }

  std::string Now() const {
    return kube::FormatTime(
        std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count());
  }

  static std::vector<const Value*> All(const Trees& trees) {
    std::vector<const Value*> all;
    for (const auto& [name, tree] : trees) all.push_back(tree.get());
    return all;
  }

  // Works out which new definitions will be established: they are served before they say so, for
  // clients that wait for the condition and then go ahead.
  void Promise(const Trees& trees) {
    promised_.clear();
    for (const auto& [name, tree] : trees) {
      if (IsDeleting(*tree) || HasCondition(*tree, "Established")) continue;
      Value settled = *tree;
      Trees others = trees;
      for (const auto& [other, promise] : promised_) others[other] = promise;
      AcceptNames(All(others), Now(), settled);
      if (!HasCondition(settled, "Established")) continue;
      promised_[name] = std::make_shared<const Value>(std::move(settled));
    }
  }

  const Resource* DefinitionResource() const {
    return current()->FindPreferred({std::string(kGroup), std::string(kPlural)});
  }

  WriteContext Context(absl::string_view subresource) const {
    WriteContext context;
    context.user.name = "system:apiserver";
    context.user.groups = {"system:masters", "system:authenticated"};
    context.field_manager = "kube-apiserver";
    context.field_validation = "Ignore";
    context.deadline = clock_.Now() + kWriteTimeout;
    context.subresource = std::string(subresource);
    return context;
  }

  // `change` is applied to what the definition is now. False on failure.
  bool Write(const std::string& name, absl::string_view subresource,
             const std::function<void(Value&)>& change) {
    const Resource* resource = DefinitionResource();
    if (resource == nullptr) return true;
    WriteContext context = Context(subresource);
    const kube::Result<Written> written = objects_->Update(
        *resource, "", name,
        [&](const Value& live, bool exists) -> kube::Result<Value> {
          if (!exists) return kube::NotFound(resource->group_resource(), name);
          Value next = live;
          change(next);
          return next;
        },
        false, context);
    if (written.ok() || written.status().code == 404) return true;
    LOG(kWarn, "crd", "writing ", name, " failed, to be tried again: ", written.status().message);
    return false;
  }

  bool WriteNames(const std::string& name, const Trees& trees) {
    const std::string now = Now();
    Value after = *trees.at(name);
    Trees others = trees;
    for (const auto& [other, promise] : promised_) {
      if (other != name) others[other] = promise;
    }
    AcceptNames(All(others), now, after);
    if (Same(Get(after, "status"), Get(*trees.at(name), "status"))) return true;
    return Write(name, "status", [&](Value& live) {
      if (!IsDeleting(live)) AcceptNames(All(others), now, live);
    });
  }

  // Deletes the instances, then lets the definition go. False: instances are left.
  bool Finalize(const std::string& name, const Value& definition) {
    if (!HasFinalizer(definition)) return true;
    const std::string now = Now();
    const auto terminating = [&](absl::string_view status, absl::string_view reason,
                                 absl::string_view message) {
      return Write(name, "status", [&](Value& live) {
        SetCondition("Terminating", status, reason, message, now, live);
      });
    };
    absl::string_view reason = "NeverEstablished", message = "resource was never established";
    if (HasCondition(definition, "Established")) {
      if (!HasCondition(definition, "Terminating") &&
          !terminating("True", "InstanceDeletionInProgress",
                       "CustomResource deletion is in progress")) {
        return false;
      }
      if (!DeleteInstances(name)) return false;
      reason = "InstanceDeletionCompleted";
      message = "removed all instances";
    }
    return terminating("False", reason, message) && Write(name, "", [](Value& live) {
             Value* finalizers = kube::MutableMetadata(live).Find("finalizers");
             if (finalizers == nullptr) return;
             std::vector<Value>& items = finalizers->items();
             items.erase(std::remove_if(
                             items.begin(), items.end(),
                             [](const Value& item) { return item.text() == kDefinitionFinalizer; }),
                         items.end());
           });
  }

  // True when none are left.
  bool DeleteInstances(const std::string& name) {
    const auto found = served_.find(name);
    if (found == served_.end() || found->second.resources.stored == nullptr) return true;
    const CustomResources& resources = found->second.resources;
    for (const bool second_look : {false, true}) {
      const kube::Result<ListResult> list = cache_.List(resources.storage, {});
      if (!list.ok()) return false;
      if (list->objects.empty()) return true;
      if (second_look) break;
      for (const ObjectPtr& object : list->objects) {
        if (Stopping()) return false;
        WriteContext context = Context("");
        bool deleted_now = false;
        const kube::Result<Value> deleted = objects_->Delete(
            *resources.stored, object->ns, object->name, {}, context, &deleted_now);
        if (!deleted.ok() && deleted.status().code != 404) {
          LOG(kWarn, "crd", "deleting ", object->ns, "/", object->name, " of ", name,
              " failed: ", deleted.status().message);
        }
      }
    }
    return false;
  }

  // Makes the catalog agree with the definitions that are established, or about to be.
  void Serve(const Trees& trees) {
    std::map<std::string, Served> next;
    bool changed = false;
    for (const auto& [name, tree] : trees) {
      const auto promise = promised_.find(name);
      const Tree& shown = promise == promised_.end() ? tree : promise->second;
      if (!HasCondition(*shown, "Established")) continue;
      const auto before = served_.find(name);
      if (before != served_.end() && before->second.tree == shown) {
        next[name] = before->second;
        continue;
      }
      std::string key = KeyOf(*shown);
      if (before != served_.end() && before->second.key == key) {
        next[name] = before->second;
        next[name].tree = shown;
        continue;
      }
      next[name] = {shown, std::move(key), MakeCustomResources(*shown)};
      changed = true;
    }
    changed = changed || next.size() != served_.size();
    std::map<std::string, Served> before = std::exchange(served_, std::move(next));
    if (!changed) return;
    for (const auto& [name, served] : served_) {
      const auto old = before.find(name);
      if (old != before.end() && old->second.resources.storage == served.resources.storage) {
        if (old->second.resources.selectable == served.resources.selectable) continue;
        cache_.RemoveResource(served.resources.storage);
      }
      cache_.AddResource(served.resources.storage, served.resources.fields_of);
    }
    Publish();
    for (const auto& [name, served] : before) {
      if (served_.count(name) == 0) cache_.RemoveResource(served.resources.storage);
    }
  }

  static std::string KeyOf(const Value& definition) {
    return absl::StrCat(IsDeleting(definition) ? "deleting " : "", kube::Uid(definition),
                        json::ToString(Get(definition, "spec")),
                        json::ToString(Get(definition, "status", "acceptedNames")));
  }

  void Publish() {
    std::vector<std::shared_ptr<const Resource>> all = builtin_;
    for (const auto& [name, served] : served_) {
      all.insert(all.end(), served.resources.versions.begin(), served.resources.versions.end());
    }
    std::shared_ptr<const Catalog> catalog = NewCatalog(std::move(all), ++generation_);
    const std::lock_guard<std::mutex> lock(catalog_mutex_);
    catalog_ = std::move(catalog);
  }

  const std::vector<std::shared_ptr<const Resource>> builtin_;
  WatchCache& cache_;
  const Clock& clock_;
  const std::shared_ptr<Shared> shared_;
  Objects* objects_ = nullptr;

  // Of the reconciling thread (and of Start, before there is one).
  std::map<std::string, Served> served_;
  Trees promised_;
  uint64_t generation_ = 1;

  mutable std::mutex catalog_mutex_;
  std::shared_ptr<const Catalog> catalog_;  // guarded by catalog_mutex_
  std::thread thread_;
};

}  // namespace

std::unique_ptr<CrdCatalog> NewCrdCatalog(std::vector<std::shared_ptr<const Resource>> builtin,
                                          WatchCache& cache, const Clock& clock) {
  return std::make_unique<CrdController>(std::move(builtin), cache, clock);
}

}  // namespace meltemi::apiserver
