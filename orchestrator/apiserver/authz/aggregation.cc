#include "orchestrator/apiserver/authz/aggregation.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kube/object/object.h"
#include "orchestrator/apiserver/authz/policy_rule.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr Duration kRetryDelay = seconds(1);

// Shared with the cache's observer, which may outlive the aggregator.
struct Signal {
  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex.
  bool dirty = true;
  bool working = false;
  bool stopped = false;
};

Value RulesJson(const std::vector<PolicyRule>& rules) {
  Value out = Value::Array();
  for (const PolicyRule& rule : rules) out.Append(rule.ToJson());
  return out;
}

// The rules of all `roles` (by name) that a selector of `role` takes, each once.
std::vector<PolicyRule> Aggregated(const Value& role, const std::vector<ObjectPtr>& roles) {
  std::vector<PolicyRule> out;
  const Value* selectors = role.Find("aggregationRule", "clusterRoleSelectors");
  if (selectors == nullptr) return out;
  for (const Value& item : selectors->items()) {
    const absl::StatusOr<kube::LabelSelector> selector = kube::LabelSelector::FromJson(&item);
    if (!selector.ok()) continue;
    for (const ObjectPtr& other : roles) {
      if (other->name == kube::Name(role) || !selector->Matches(other->labels)) continue;
      for (PolicyRule& rule : RulesOf(other->Tree())) {
        if (std::find(out.begin(), out.end(), rule) == out.end()) out.push_back(std::move(rule));
      }
    }
  }
  return out;
}

class Aggregator final : public ClusterRoleAggregator {
 public:
  Aggregator(const CatalogSource& catalogs, WatchCache& cache, Objects& objects, const Clock& clock)
      : catalogs_(catalogs),
        cache_(cache),
        objects_(objects),
        clock_(clock),
        signal_(std::make_shared<Signal>()) {
    cache_.Observe(storage_, [signal = signal_](const CacheEvent&) {
      const std::lock_guard<std::mutex> lock(signal->mutex);
      signal->dirty = true;
      signal->changed.notify_all();
    });
    thread_ = std::thread([this] { Run(); });
  }

  ~Aggregator() override {
    {
      const std::lock_guard<std::mutex> lock(signal_->mutex);
      signal_->stopped = true;
      signal_->changed.notify_all();
    }
    thread_.join();
  }

  bool Settled() override {
    const std::lock_guard<std::mutex> lock(signal_->mutex);
    return !signal_->dirty && !signal_->working;
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(signal_->mutex);
    for (;;) {
      signal_->changed.wait(lock, [this] { return signal_->dirty || signal_->stopped; });
      if (signal_->stopped) return;
      signal_->dirty = false;
      signal_->working = true;
      lock.unlock();
      const bool done = ReconcileAll();
      lock.lock();
      if (!done) {
        signal_->dirty = true;
        signal_->changed.wait_for(lock, kRetryDelay, [this] { return signal_->stopped; });
      }
      signal_->working = false;
    }
  }

  // False: something failed and has to be tried again.
  bool ReconcileAll() {
    ListQuery query;
    query.any_version = true;
    const kube::Result<ListResult> list = cache_.List(storage_, query);
    if (!list.ok()) return false;
    bool done = true;
    for (const ObjectPtr& object : list->objects) {
      if (object->json.find("\"aggregationRule\"") == std::string::npos) continue;
      const Value role = object->Tree();
      if (role.Find("aggregationRule") == nullptr) continue;
      const std::vector<PolicyRule> wanted = Aggregated(role, list->objects);
      if (RulesOf(role) == wanted) continue;
      done &= Write(object->name, wanted);
    }
    return done;
  }

  bool Write(const std::string& name, const std::vector<PolicyRule>& rules) {
    const Resource* resource = catalogs_.current()->FindPreferred(storage_);
    if (resource == nullptr) return false;
    WriteContext context;
    context.user.name = "system:apiserver";
    context.user.groups = {"system:masters", "system:authenticated"};
    context.field_manager = "clusterrole-aggregation-controller";
    context.deadline = clock_.Now() + seconds(30);
    const UpdateFunction update = [&rules](const Value& current, bool) -> kube::Result<Value> {
      Value changed = current;
      if (changed.Find("aggregationRule") != nullptr) changed.Set("rules", RulesJson(rules));
      return changed;
    };
    const kube::Result<Written> written =
        objects_.Update(*resource, "", name, update, false, context);
    return written.ok() || written.status().code == 404;
  }

  const CatalogSource& catalogs_;
  WatchCache& cache_;
  Objects& objects_;
  const Clock& clock_;
  const kube::GroupResource storage_{"rbac.authorization.k8s.io", "clusterroles"};
  const std::shared_ptr<Signal> signal_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ClusterRoleAggregator> StartClusterRoleAggregator(const CatalogSource& catalogs,
                                                                  WatchCache& cache,
                                                                  Objects& objects,
                                                                  const Clock& clock) {
  return std::make_unique<Aggregator>(catalogs, cache, objects, clock);
}

}  // namespace meltemi::apiserver
