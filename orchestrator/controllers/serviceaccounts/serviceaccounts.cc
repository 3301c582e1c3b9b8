#include "orchestrator/controllers/serviceaccounts/serviceaccounts.h"

#include <functional>
#include <utility>

#include "kube/client/typed.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Namespace;
using kube::core::v1::ServiceAccount;

constexpr char kDefault[] = "default";
constexpr char kRootCa[] = "kube-root-ca.crt";
constexpr char kRootCaSelector[] = "metadata.name=kube-root-ca.crt";
constexpr char kCaKey[] = "ca.crt";
constexpr char kDescription[] = "kubernetes.io/description";
constexpr char kRootCaDescription[] =
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters.";

bool IsActive(const Namespace* ns) {
  return ns != nullptr && ns->status().phase() == "Active" &&
         !ns->metadata().has_deletion_timestamp();
}

// A namespace that goes, or is gone, is no failure.
kube::ReconcileResult Settled(const kube::Status& status) {
  const bool fine = kube::IsAlreadyExists(status) || kube::IsNamespaceTerminating(status) ||
                    kube::IsNotFound(status);
  if (!fine) return status;
  return kube::Finished();
}

// A queue of namespaces, filled by what happens to them and to the objects with this name in them.
std::unique_ptr<kube::Controller> NewNamespaceQueue(
    Context& context, absl::string_view queue_name, kube::Informer& objects,
    absl::string_view object_name,
    std::function<kube::ReconcileResult(const std::string& ns)> reconcile) {
  kube::ControllerOptions options;
  options.name = std::string(queue_name);
  options.workers = 2;
  auto queue =
      kube::NewController(options, context.executor, context.metrics,
                          [reconcile = std::move(reconcile)](const kube::NamespacedName& key) {
                            return reconcile(key.name);
                          });
  kube::Controller* const to = queue.get();
  context.informers.Of<Namespace>().AddHandler([to](const kube::Change& change) {
    if (change.after != nullptr) to->Add(kube::NameOf(*change.after));
  });
  objects.AddHandler([to, name = std::string(object_name)](const kube::Change& change) {
    const kube::NamespacedName which =
        kube::NameOf(change.after != nullptr ? *change.after : *change.before);
    if (!change.initial && which.name == name) to->Add({"", which.ns});
  });
  return queue;
}

class DefaultAccounts final : public Running {
 public:
  explicit DefaultAccounts(Context& context)
      : client_(context.client),
        namespaces_(context.informers.ListerOf<Namespace>()),
        accounts_(context.informers.ListerOf<ServiceAccount>()),
        queue_(NewNamespaceQueue(context, "serviceaccount", context.informers.Of<ServiceAccount>(),
                                 kDefault,
                                 [this](const std::string& ns) { return Reconcile(ns); })) {}
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& ns) {
    if (!IsActive(namespaces_.Get("", ns).get())) return kube::Finished();
    if (accounts_.Get(ns, kDefault) != nullptr) return kube::Finished();
    ServiceAccount account;
    account.mutable_metadata()->set_namespace_(ns);
    account.mutable_metadata()->set_name(kDefault);
    const kube::Result<ServiceAccount> created = kube::Create(client_, account);
    if (!created.ok()) return Settled(created.status());
    return kube::Finished();
  }

  kube::Client& client_;
  const kube::Lister<Namespace> namespaces_;
  const kube::Lister<ServiceAccount> accounts_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

class RootCaPublisher final : public Running {
 public:
  RootCaPublisher(Context& context, std::string ca_pem)
      : client_(context.client),
        ca_pem_(std::move(ca_pem)),
        namespaces_(context.informers.ListerOf<Namespace>()),
        maps_(context.informers.ListerOf<ConfigMap>(kRootCaSelector)),
        queue_(NewNamespaceQueue(context, "root_ca_cert_publisher",
                                 context.informers.Of<ConfigMap>(kRootCaSelector), kRootCa,
                                 [this](const std::string& ns) { return Reconcile(ns); })) {}
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& ns) {
    if (!IsActive(namespaces_.Get("", ns).get())) return kube::Finished();
    const std::shared_ptr<const ConfigMap> current = maps_.Get(ns, kRootCa);
    if (current != nullptr && IsRight(*current)) return kube::Finished();
    ConfigMap map;
    if (current != nullptr) map = *current;
    map.mutable_metadata()->set_namespace_(ns);
    map.mutable_metadata()->set_name(kRootCa);
    (*map.mutable_metadata()->mutable_annotations())[kDescription] = kRootCaDescription;
    map.clear_data();
    (*map.mutable_data())[kCaKey] = ca_pem_;
    const kube::Result<ConfigMap> written =
        current == nullptr ? kube::Create(client_, map) : kube::Update(client_, map);
    if (!written.ok()) return Settled(written.status());
    return kube::Finished();
  }

  bool IsRight(const ConfigMap& map) const {
    const auto& annotations = map.metadata().annotations();
    const auto about = annotations.find(kDescription);
    const auto ca = map.data().find(kCaKey);
    return about != annotations.end() && !about->second.empty() && map.data_size() == 1 &&
           ca != map.data().end() && ca->second == ca_pem_;
  }

  kube::Client& client_;
  const std::string ca_pem_;
  const kube::Lister<Namespace> namespaces_;
  const kube::Lister<ConfigMap> maps_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

std::unique_ptr<Running> NewServiceAccountController(Context& context) {
  return std::make_unique<DefaultAccounts>(context);
}

std::unique_ptr<Running> NewRootCaPublisher(Context& context, std::string ca_pem) {
  return std::make_unique<RootCaPublisher>(context, std::move(ca_pem));
}

}  // namespace meltemi::controllers
