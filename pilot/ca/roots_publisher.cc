#include "pilot/ca/roots_publisher.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/client/client.h"
#include "kube/client/meta.h"
#include "kube/client/typed.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/queue/controller.h"

namespace meltemi::pilot {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Namespace;

constexpr char kSelector[] = "metadata.name=istio-ca-root-cert";

// A namespace that goes, or is gone, is no failure.
kube::ReconcileResult Settled(const kube::Status& status) {
  const bool fine = kube::IsAlreadyExists(status) || kube::IsNamespaceTerminating(status) ||
                    kube::IsNotFound(status);
  if (!fine) return status;
  return kube::Finished();
}

class Publisher final : public RootsPublisher {
 public:
  Publisher(kube::Client& client, kube::Executor& executor, std::string roots_pem)
      : client_(client),
        roots_pem_(std::move(roots_pem)),
        informers_(kube::NewInformers(client, executor)),
        namespaces_(informers_->ListerOf<Namespace>()),
        maps_(informers_->ListerOf<ConfigMap>(kSelector)),
        queue_(kube::NewController(
            {.name = "root_cert_publisher", .workers = 2}, executor, nullptr,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })) {
    informers_->Of<Namespace>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
    informers_->Of<ConfigMap>(kSelector).AddHandler([this](const kube::Change& change) {
      const kube::NamespacedName which =
          kube::NameOf(change.after != nullptr ? *change.after : *change.before);
      if (!change.initial) queue_->Add({"", which.ns});
    });
    informers_->Start([this] { queue_->Start(); });
  }

  ~Publisher() override {
    informers_->Stop();
    queue_ = nullptr;
  }

 private:
  kube::ReconcileResult Reconcile(const std::string& ns) {
    const std::shared_ptr<const Namespace> space = namespaces_.Get("", ns);
    if (space == nullptr || space->metadata().has_deletion_timestamp()) return kube::Finished();
    const std::shared_ptr<const ConfigMap> current = maps_.Get(ns, kRootsConfigMap);
    if (current != nullptr && IsRight(*current)) return kube::Finished();
    ConfigMap map;
    if (current != nullptr) map = *current;
    map.mutable_metadata()->set_namespace_(ns);
    map.mutable_metadata()->set_name(std::string(kRootsConfigMap));
    (*map.mutable_metadata()->mutable_labels())["istio.io/config"] = "true";
    (*map.mutable_data())[std::string(kRootsKey)] = roots_pem_;
    const kube::Result<ConfigMap> written =
        current == nullptr ? kube::Create(client_, map) : kube::Update(client_, map);
    if (!written.ok()) return Settled(written.status());
    return kube::Finished();
  }

  bool IsRight(const ConfigMap& map) const {
    const auto it = map.data().find(std::string(kRootsKey));
    return it != map.data().end() && it->second == roots_pem_;
  }

  kube::Client& client_;
  const std::string roots_pem_;
  const std::unique_ptr<kube::Informers> informers_;
  const kube::Lister<Namespace> namespaces_;
  const kube::Lister<ConfigMap> maps_;
  std::unique_ptr<kube::Controller> queue_;
};

}  // namespace

std::unique_ptr<RootsPublisher> StartRootsPublisher(kube::Client& client, kube::Executor& executor,
                                                    std::string roots_pem) {
  return std::make_unique<Publisher>(client, executor, std::move(roots_pem));
}

}  // namespace meltemi::pilot
