#include "orchestrator/controllers/services/services.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/service.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/services/address_pool.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Service;
using ServicePtr = std::shared_ptr<const Service>;

bool IsOurs(const Service& service) {
  const auto& spec = service.spec();
  return spec.type() == "LoadBalancer" && !service.metadata().has_deletion_timestamp() &&
         (!spec.has_load_balancer_class() || spec.load_balancer_class() == kLoadBalancerClass);
}

std::optional<uint32_t> GivenTo(const Service& service) {
  for (const auto& ingress : service.status().load_balancer().ingress()) {
    if (const auto address = ParseIpv4(ingress.ip())) return address;
  }
  return std::nullopt;
}

// The address that its author asks for; empty: any.
std::string Requested(const Service& service) {
  if (!service.spec().load_balancer_ip().empty()) return service.spec().load_balancer_ip();
  const auto& annotations = service.metadata().annotations();
  const auto at = annotations.find(kLoadBalancerIpAnnotation);
  return at == annotations.end() ? "" : at->second;
}

// Who keeps an address that two have.
bool IsOlder(const Service& a, const Service& b) {
  const auto key = [](const Service& service) {
    return std::make_pair(service.metadata().creation_timestamp().seconds(),
                          service.metadata().uid());
  };
  return key(a) < key(b);
}

class LoadBalancerController final : public Running {
 public:
  LoadBalancerController(Context& context, AddressPool pool)
      : context_(context),
        pool_(std::move(pool)),
        recorder_(context.recorder("service-controller")),
        services_(context.informers.ListerOf<Service>()) {
    kube::ControllerOptions options;
    options.name = "service";
    options.workers = 1;  // addresses are given one after the other
    options.backoff_min = milliseconds(100);
    options.backoff_max = minutes(1);
    queue_ =
        kube::NewController(options, context.executor, context.metrics,
                            [this](const kube::NamespacedName& key) { return Reconcile(key); });
    context.informers.Of<Service>().AddHandler([this](const kube::Change& change) {
      const bool was = change.before && IsOurs(static_cast<const Service&>(*change.before));
      const bool is = change.after && IsOurs(static_cast<const Service&>(*change.after));
      if (was || is) queue_->Add(kube::NameOf(*(change.after ? change.after : change.before)));
    });
  }

  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult Release(const kube::NamespacedName& key, const ServicePtr& service);
  std::set<uint32_t> TakenByOthers(const Service& service) const;
  // Empty address: `*why` says why there is none.
  std::optional<uint32_t> Choose(const Service& service, std::string* why) const;
  kube::Outcome WriteStatus(Service service, std::optional<uint32_t> address);
  void WakeWaiting();
  // An address that is not shown any more is free: somebody may wait for it.
  void NoteShown(const kube::NamespacedName& key, std::optional<uint32_t> address);

  Context& context_;
  const AddressPool pool_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Service> services_;

  // Touched by the queue's one worker alone. What has been given and the informer may not show yet;
  // and those for whom there was nothing, with what they were told.
  std::map<kube::NamespacedName, uint32_t> given_;
  // What the informer showed of each when it was looked at last.
  std::map<kube::NamespacedName, uint32_t> shown_;
  std::map<kube::NamespacedName, std::string> waiting_;

  // Last: it is gone first, and with it everything under way.
  std::unique_ptr<kube::Controller> queue_;
};

std::set<uint32_t> LoadBalancerController::TakenByOthers(const Service& service) const {
  std::set<uint32_t> out;
  const kube::NamespacedName own = kube::NameOf(service);
  for (const auto& [key, address] : given_) {
    if (!(key == own)) out.insert(address);
  }
  const std::optional<uint32_t> has = GivenTo(service);
  for (const ServicePtr& other : services_.List()) {
    if (kube::NameOf(*other) == own || other->spec().type() != "LoadBalancer") continue;
    const std::optional<uint32_t> address = GivenTo(*other);
    if (!address.has_value()) continue;
    // Of two that have the same one the older keeps it.
    if (address == has && IsOlder(service, *other)) continue;
    out.insert(*address);
  }
  return out;
}

std::optional<uint32_t> LoadBalancerController::Choose(const Service& service,
                                                       std::string* why) const {
  const std::set<uint32_t> taken = TakenByOthers(service);
  const std::string requested = Requested(service);
  if (pool_.empty()) {
    *why = "there is no pool of addresses";
    return std::nullopt;
  }
  if (!requested.empty()) {
    const std::optional<uint32_t> address = ParseIpv4(requested);
    if (!address.has_value() || !pool_.Contains(*address)) {
      *why = absl::StrCat("the requested address ", requested, " is not in the pool");
      return std::nullopt;
    }
    if (taken.count(*address) == 0) return address;
    *why = absl::StrCat("the requested address ", requested, " is taken by another service");
    return std::nullopt;
  }
  const std::optional<uint32_t> has = GivenTo(service);
  if (has.has_value() && pool_.Contains(*has) && taken.count(*has) == 0) return has;
  const auto own = given_.find(kube::NameOf(service));
  if (own != given_.end() && taken.count(own->second) == 0) return own->second;
  const std::optional<uint32_t> free =
      pool_.FirstFree([&](uint32_t address) { return taken.count(address) > 0; });
  if (!free.has_value()) *why = "no address of the pool is free";
  return free;
}

kube::Outcome LoadBalancerController::WriteStatus(Service service,
                                                  std::optional<uint32_t> address) {
  auto* status = service.mutable_status()->mutable_load_balancer();
  status->clear_ingress();
  if (address.has_value()) {
    status->add_ingress()->set_ip(FormatIpv4(*address));
    status->mutable_ingress(0)->set_ip_mode("VIP");
  }
  const kube::Result<Service> written = kube::UpdateStatus(context_.client, service);
  if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
  return kube::Done{};
}

void LoadBalancerController::WakeWaiting() {
  for (const auto& [key, told] : waiting_) queue_->Add(key);
}

void LoadBalancerController::NoteShown(const kube::NamespacedName& key,
                                       std::optional<uint32_t> address) {
  const auto before = shown_.find(key);
  const bool freed = before != shown_.end() && before->second != address;
  if (freed) shown_.erase(before);
  if (address.has_value()) shown_[key] = *address;
  if (freed) WakeWaiting();
}

kube::ReconcileResult LoadBalancerController::Release(const kube::NamespacedName& key,
                                                      const ServicePtr& service) {
  waiting_.erase(key);
  const auto at = given_.find(key);
  if (at == given_.end()) return kube::Finished();
  // It may have been deleted and made again, or be somebody else's by now: what it shows then is
  // not ours to take away.
  const bool shows_it = service != nullptr && service->spec().type() != "LoadBalancer" &&
                        GivenTo(*service) == at->second;
  if (shows_it) {
    recorder_.Record(*service, kube::kNormal, "DeletingLoadBalancer", "Deleting load balancer");
    if (kube::Outcome written = WriteStatus(*service, std::nullopt); !written.ok()) {
      return written.status();
    }
    recorder_.Record(*service, kube::kNormal, "DeletedLoadBalancer", "Deleted load balancer");
  }
  given_.erase(at);
  WakeWaiting();
  return kube::Finished();
}

kube::ReconcileResult LoadBalancerController::Reconcile(const kube::NamespacedName& key) {
  const ServicePtr service = services_.Get(key);
  const bool ours = service != nullptr && IsOurs(*service);
  NoteShown(key, ours ? GivenTo(*service) : std::nullopt);
  if (!ours) return Release(key, service);
  std::string why;
  const std::optional<uint32_t> address = Choose(*service, &why);
  if (!address.has_value()) {
    // Somebody's end brings it back; and it is told once.
    if (std::exchange(waiting_[key], why) != why) {
      recorder_.Record(
          *service, kube::kWarning, "SyncLoadBalancerFailed",
          absl::StrCat("Error syncing load balancer: failed to ensure load balancer: ", why));
    }
    const bool had = given_.erase(key) > 0;
    // Without a pool others may say where the service is reached.
    const bool managed =
        !pool_.empty() || service->spec().load_balancer_class() == kLoadBalancerClass;
    if (managed && GivenTo(*service).has_value()) {
      if (kube::Outcome written = WriteStatus(*service, std::nullopt); !written.ok()) {
        return written.status();
      }
    }
    if (had) WakeWaiting();
    return kube::Finished();
  }
  waiting_.erase(key);
  given_[key] = *address;
  if (GivenTo(*service) == *address) return kube::Finished();
  recorder_.Record(*service, kube::kNormal, "EnsuringLoadBalancer", "Ensuring load balancer");
  if (kube::Outcome written = WriteStatus(*service, address); !written.ok()) {
    return written.status();
  }
  recorder_.Record(*service, kube::kNormal, "EnsuredLoadBalancer", "Ensured load balancer");
  return kube::Finished();
}

}  // namespace

absl::Status CheckLoadBalancerPool(const std::vector<std::string>& pool) {
  return AddressPool::Parse(pool).status();
}

std::unique_ptr<Running> NewLoadBalancerController(Context& context,
                                                   const std::vector<std::string>& pool) {
  absl::StatusOr<AddressPool> parsed = AddressPool::Parse(pool);
  if (!parsed.ok()) {
    LOG(kError, "controller", "service: ", parsed.status().message(), "; there is no pool then");
    parsed = AddressPool();
  }
  return std::make_unique<LoadBalancerController>(context, *std::move(parsed));
}

}  // namespace meltemi::controllers
