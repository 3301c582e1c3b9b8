#include "orchestrator/app/apiserver.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log/log.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "base/net/interfaces.h"
#include "base/random/random.h"
#include "orchestrator/apiserver/admission/chain.h"
#include "orchestrator/apiserver/authn/chain.h"
#include "orchestrator/apiserver/authn/token_issuer.h"
#include "orchestrator/apiserver/authz/aggregation.h"
#include "orchestrator/apiserver/authz/bootstrap_policy.h"
#include "orchestrator/apiserver/authz/chain.h"
#include "orchestrator/apiserver/authz/reviews.h"
#include "orchestrator/apiserver/bootstrap/service_troubles.h"
#include "orchestrator/apiserver/bootstrap/system_objects.h"
#include "orchestrator/apiserver/chain/chain.h"
#include "orchestrator/apiserver/crd/crd_catalog.h"
#include "orchestrator/apiserver/http/in_flight.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/https_client/https_client.h"
#include "orchestrator/apiserver/kinds/service_allocation.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/openapi/discovery.h"
#include "orchestrator/apiserver/openapi/openapi.h"
#include "orchestrator/apiserver/usage/metrics_api.h"
#include "orchestrator/apiserver/verbs/rest.h"
#include "orchestrator/apiserver/verbs/stored_objects.h"
#include "orchestrator/apiserver/watch/watch_cache.h"
#include "orchestrator/app/background.h"
#include "orchestrator/app/certificates.h"
#include "orchestrator/app/kubeconfig.h"
#include "orchestrator/app/open_store.h"
#include "orchestrator/component/files.h"

namespace meltemi::orchestrator {
namespace {

using apiserver::Resource;

// Old revisions are kept this long, for lists and watches that began then.
constexpr Duration kCompactionInterval = minutes(5);
constexpr Duration kTroublesInterval = minutes(3);
constexpr Duration kDrainMax = seconds(10);
// Of one node.
constexpr size_t kStatisticsBytesMax = 64 * 1024 * 1024;

// "30000-32767"; the CIDR is read by the allocation itself.
absl::StatusOr<apiserver::ServiceRanges> RangesOf(const ApiServerOptions& options) {
  apiserver::ServiceRanges ranges;
  ranges.cluster_ip_cidr = options.service_cluster_ip_range;
  const std::pair<std::string, std::string> ports =
      absl::StrSplit(options.service_node_port_range, absl::MaxSplits('-', 1));
  if (!absl::SimpleAtoi(ports.first, &ranges.node_port_first) ||
      !absl::SimpleAtoi(ports.second, &ranges.node_port_last)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--service-node-port-range: '", options.service_node_port_range, "' is not FIRST-LAST"));
  }
  return ranges;
}

// Services get their addresses and ports after every plugin has had its say, as in Kubernetes.
class WithAllocation final : public apiserver::Admission {
 public:
  WithAllocation(std::unique_ptr<Admission> plugins, apiserver::ServiceAllocation& allocation)
      : plugins_(std::move(plugins)), allocation_(allocation) {}
  kube::Outcome Mutate(apiserver::AdmissionRequest& request) override {
    kube::Outcome outcome = plugins_->Mutate(request);
    return outcome.ok() ? allocation_.Mutate(request) : std::move(outcome);
  }
  kube::Outcome Validate(apiserver::AdmissionRequest& request) override {
    return plugins_->Validate(request);
  }

 private:
  const std::unique_ptr<Admission> plugins_;
  apiserver::ServiceAllocation& allocation_;
};

kube::StringPairs FieldsOf(const Resource& resource, const json::Value& object) {
  if (resource.strategy == nullptr) return {};
  return resource.strategy->SelectableFields(object);
}

class Instance final : public ApiServer {
 public:
  Instance(const ApiServerOptions& options, const Clock& clock)
      : options_(options), clock_(clock) {}
  ~Instance() override { Stop(); }

  absl::Status Start() {
    for (absl::Status (Instance::*step)() :
         {&Instance::Prepare, &Instance::OpenStore, &Instance::MakeCatalog, &Instance::MakeAccess,
          &Instance::MakeObjects, &Instance::MakeHandlers, &Instance::Serve}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    if (absl::Status status = Announce(); !status.ok()) return status;
    BeginTasks();
    return absl::OkStatus();
  }

  const std::string& url() const override { return url_; }
  const std::string& kubeconfig_path() const override { return kubeconfig_path_; }

  void Stop() override {
    if (server_ != nullptr) server_->Stop(kDrainMax);
    server_.reset();
    tasks_.clear();
    aggregator_.reset();
    if (catalogs_ != nullptr) catalogs_->Stop();
  }

 private:
  int64_t NowSeconds() const {
    return std::chrono::duration_cast<seconds>(clock_.WallNow().time_since_epoch()).count();
  }

  absl::Status Prepare() {
    const absl::StatusOr<apiserver::ServiceRanges> ranges = RangesOf(options_);
    if (!ranges.ok()) return ranges.status();
    absl::StatusOr<std::unique_ptr<apiserver::ServiceAllocation>> allocation =
        apiserver::ServiceAllocation::Create(*ranges, clock_, std::make_unique<FastRandom>());
    if (!allocation.ok()) return allocation.status();
    allocation_ = *std::move(allocation);
    system_.service_ip = allocation_->FirstIp();
    system_.advertise_address =
        options_.advertise_address.empty() ? net::FirstGlobalIp() : options_.advertise_address;
    if (system_.advertise_address.empty()) system_.advertise_address = options_.bind_address;
    CertificateOptions certificates{.folder = options_.data_dir + "/pki",
                                    .dns_names = {},
                                    .ip_addresses = {system_.service_ip, system_.advertise_address},
                                    .now_s = NowSeconds()};
    for (const std::string& name : options_.extra_names) {
      const bool ip = net::Address::FromIp(name, 0).ok();
      (ip ? certificates.ip_addresses : certificates.dns_names).push_back(name);
    }
    absl::StatusOr<ClusterCertificates> made = EnsureCertificates(certificates);
    if (!made.ok()) return made.status();
    certificates_ = *std::move(made);
    return absl::OkStatus();
  }

  absl::Status OpenStore() {
    absl::StatusOr<std::unique_ptr<store::Store>> store = orchestrator::OpenStore(options_, clock_);
    if (!store.ok()) return store.status();
    store_ = *std::move(store);
    return absl::OkStatus();
  }

  absl::Status MakeCatalog() {
    std::vector<std::shared_ptr<const Resource>> builtin = apiserver::BuiltinResources(arena_);
    cache_ = apiserver::NewWatchCache(*store_, clock_);
    std::set<kube::GroupResource> added;
    for (const std::shared_ptr<const Resource>& resource : builtin) {
      if (!resource->stored ||
          kube::ApiVersion(resource->group, resource->version) != resource->storage_version) {
        continue;
      }
      if (!added.insert(resource->storage).second) continue;
      cache_->AddResource(resource->storage, [resource](const json::Value& object) {
        return FieldsOf(*resource, object);
      });
    }
    allocation_->Follow(*cache_);
    catalogs_ = apiserver::NewCrdCatalog(std::move(builtin), *cache_, clock_);
    return absl::OkStatus();
  }

  absl::Status MakeAccess() {
    absl::StatusOr<std::shared_ptr<const apiserver::SigningKeys>> keys =
        apiserver::NewSigningKeys(certificates_.service_account_key_pem);
    if (!keys.ok()) return keys.status();
    apiserver::AuthenticatorOptions authn;
    authn.anonymous = options_.anonymous_auth;
    authn.issuers = {options_.service_account_issuer};
    authn.api_audiences = options_.api_audiences;
    authn.keys = *keys;
    if (!options_.token_auth_file.empty()) {
      absl::StatusOr<std::string> text = ReadWholeFile(options_.token_auth_file);
      if (!text.ok()) return text.status();
      authn.token_file_text = *std::move(text);
      authn.token_file_name = options_.token_auth_file;
    }
    absl::StatusOr<std::unique_ptr<apiserver::Authenticator>> chain =
        apiserver::NewAuthenticatorChain(authn, clock_, *cache_);
    if (!chain.ok()) return chain.status();
    authenticator_ = *std::move(chain);
    chain = apiserver::NewTokenAuthenticatorChain(authn, clock_, *cache_);
    if (!chain.ok()) return chain.status();
    token_authenticator_ = *std::move(chain);
    issuer_options_.issuer = options_.service_account_issuer;
    issuer_options_.api_audiences = options_.api_audiences;
    issuer_options_.jwks_uri = absl::StrCat("https://", system_.advertise_address, ":",
                                            options_.secure_port, "/openid/v1/jwks");
    issuer_ = apiserver::NewTokenIssuer(issuer_options_, *keys, clock_);
    rbac_ = apiserver::NewRbacAuthorizer(*cache_);
    absl::StatusOr<std::unique_ptr<apiserver::Authorizer>> authorizer =
        apiserver::NewAuthorizerChain(options_.authorization_modes, *rbac_, *cache_);
    if (!authorizer.ok()) return authorizer.status();
    authorizer_ = *std::move(authorizer);
    return absl::OkStatus();
  }

  absl::Status MakeObjects() {
    absl::StatusOr<std::unique_ptr<apiserver::Admission>> admission =
        apiserver::NewAdmission({.enabled = options_.enable_admission_plugins,
                                 .disabled = options_.disable_admission_plugins},
                                {.clock = clock_,
                                 .cache = *cache_,
                                 .catalogs = *catalogs_,
                                 .authorizer = *authorizer_,
                                 .rbac = *rbac_});
    if (!admission.ok()) return admission.status();
    admission_ = std::make_unique<WithAllocation>(*std::move(admission), *allocation_);
    objects_ = apiserver::NewObjects({.store = *store_,
                                      .cache = *cache_,
                                      .catalogs = *catalogs_,
                                      .admission = *admission_,
                                      .clock = clock_,
                                      .random = objects_random_});
    return absl::OkStatus();
  }

  absl::Status MakeHandlers() {
    apiserver::ResourceHandlerDeps deps{.objects = *objects_,
                                        .cache = *cache_,
                                        .catalogs = *catalogs_,
                                        .admission = *admission_,
                                        .tokens = issuer_.get(),
                                        .clock = clock_,
                                        .random = handler_random_};
    deps.may_create = [this](const apiserver::Request& request) { return MayCreate(request); };
    deps.reviews = apiserver::ReviewFunctions({.authorizer = *authorizer_,
                                               .rbac = rbac_.get(),
                                               .tokens = *token_authenticator_,
                                               .api_audiences = Audiences()});
    deps.api_audiences = Audiences();
    MakeMetricsApi();
    for (const char* plural : {"nodes", "pods"}) {
      deps.readers[{"metrics.k8s.io", plural}] =
          [this](const Resource& resource, absl::string_view ns, absl::string_view name,
                 const kube::LabelSelector& labels, const kube::FieldSelector& fields) {
            return metrics_api_->Read(resource, ns, name, labels, fields);
          };
    }
    resources_ = apiserver::NewResourceHandler(std::move(deps));
    discovery_ = apiserver::NewDiscoveryHandler(*catalogs_);
    openapi_ = apiserver::NewOpenApiHandler(*catalogs_);
    limiter_ = std::make_unique<apiserver::InFlightLimiter>(options_.reads_in_flight_max,
                                                            options_.writes_in_flight_max);
    chain_ = apiserver::NewChain({.clock = clock_,
                                  .authenticator = *authenticator_,
                                  .authorizer = *authorizer_,
                                  .limiter = *limiter_,
                                  .tokens = *issuer_,
                                  .health = health_,
                                  .metrics = metrics_,
                                  .resources = *resources_,
                                  .discovery = *discovery_,
                                  .openapi = *openapi_});
    return absl::OkStatus();
  }

  // What kubelets say of their nodes' use; they are not verified, as for logs (ServingOptions).
  void MakeMetricsApi() {
    apiserver::HttpsClientOptions options;
    options.user_agent = "kube-apiserver";
    options.identity = certificates_.kubelet_client;
    options.verify = false;
    options.response_bytes_max = kStatisticsBytesMax;
    options.idle_connections_max = 1;
    kubelet_client_ = apiserver::NewHttpsClient(clock_, options);
    kubelets_ = std::make_unique<apiserver::Kubelets>(*kubelet_client_, clock_);
    metrics_api_ = std::make_unique<apiserver::MetricsApi>(*cache_, *kubelets_, clock_);
  }

  std::vector<std::string> Audiences() const {
    if (!options_.api_audiences.empty()) return options_.api_audiences;
    return {options_.service_account_issuer};
  }

  kube::Outcome MayCreate(const apiserver::Request& request) {
    apiserver::Attributes attributes = apiserver::Attributes::Of(request);
    attributes.verb = "create";
    const apiserver::Verdict verdict = authorizer_->Authorize(attributes);
    if (verdict.decision == apiserver::Decision::kAllow) return kube::Done{};
    return apiserver::ForbiddenFor(attributes, verdict.reason);
  }

  absl::StatusOr<apiserver::ServerOptions> ServingOptions() {
    apiserver::ServerOptions serving;
    absl::StatusOr<net::Address> address =
        net::Address::FromIp(options_.bind_address, static_cast<uint16_t>(options_.secure_port));
    if (!address.ok()) return address.status();
    serving.address = *address;
    serving.loops = static_cast<int>(options_.loops);
    serving.request_timeout = options_.request_timeout;
    serving.tls.identity = certificates_.apiserver;
    if (!options_.tls_cert_file.empty()) {
      absl::StatusOr<std::string> chain = ReadWholeFile(options_.tls_cert_file);
      absl::StatusOr<std::string> key = ReadWholeFile(options_.tls_key_file);
      if (!chain.ok()) return chain.status();
      if (!key.ok()) return key.status();
      serving.tls.identity = {*std::move(chain), *std::move(key)};
    }
    serving.tls.alpn = {"h2", "http/1.1"};
    serving.tls.peer = tls::PeerCertificate::kOptional;
    serving.tls.client_ca_pem = certificates_.ca.certificate_chain_pem;
    if (!options_.client_ca_file.empty()) {
      absl::StatusOr<std::string> ca = ReadWholeFile(options_.client_ca_file);
      if (!ca.ok()) return ca.status();
      absl::StrAppend(&serving.tls.client_ca_pem, *ca);
    }
    absl::StatusOr<std::shared_ptr<const tls::Context>> to_kubelets =
        tls::NewClientContext({.identity = certificates_.kubelet_client,
                               .alpn = {"http/1.1"},
                               .peer = tls::PeerCertificate::kNone});
    if (!to_kubelets.ok()) return to_kubelets.status();
    serving.proxy_client = *std::move(to_kubelets);
    return serving;
  }

  absl::Status Serve() {
    absl::StatusOr<apiserver::ServerOptions> serving = ServingOptions();
    if (!serving.ok()) return serving.status();
    AddHealthChecks();
    cache_->Start();
    catalogs_->Start(*objects_);
    hub_ = apiserver::NewWatchHub(*cache_);
    absl::StatusOr<std::unique_ptr<apiserver::Server>> server =
        apiserver::StartServer(*serving, clock_, *chain_, *hub_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    system_.port = server_->address().port();
    const bool everywhere = options_.bind_address == "0.0.0.0" || options_.bind_address == "::";
    url_ = absl::StrCat("https://", everywhere ? "127.0.0.1" : options_.bind_address, ":",
                        system_.port);
    return absl::OkStatus();
  }

  void AddHealthChecks() {
    health_.Add({.name = "ping", .check = [] { return absl::OkStatus(); }});
    health_.Add({.name = "etcd", .check = [this] { return store_->Health(); }});
    health_.Add({.name = "informer-sync",
                 .check =
                     [this] {
                       return cache_->ready() ? absl::OkStatus()
                                              : absl::UnavailableError("the store is being read");
                     },
                 .live = false});
    health_.Add({.name = "poststarthook/system-objects",
                 .check =
                     [this] {
                       return tasks_.empty() ? absl::UnavailableError("starting")
                                             : tasks_.front()->last();
                     },
                 .live = false});
  }

  // Before the first request may be answered, the roles that it is allowed by have to be there: the
  // readiness check waits for the first of these tasks.
  void BeginTasks() {
    std::vector<std::unique_ptr<Background>> tasks;
    tasks.push_back(std::make_unique<Background>(
        Background::Options{.name = "system objects", .until_ok = true}, [this] {
          absl::Status status =
              apiserver::EnsureSystemObjects(system_, *catalogs_, *objects_, clock_);
          if (!status.ok()) return status;
          status = apiserver::ReconcileBootstrapPolicy(*catalogs_, *cache_, *objects_, clock_);
          if (!status.ok()) return status;
          return TellReady();
        }));
    tasks.push_back(std::make_unique<Background>(
        Background::Options{.name = "compaction", .interval = kCompactionInterval, .at_once = true},
        [this, last = store::Revision{0}]() mutable { return Compact(&last); }));
    tasks.push_back(std::make_unique<Background>(
        Background::Options{.name = "service troubles", .interval = kTroublesInterval}, [this] {
          return apiserver::TellServiceTroubles(*allocation_, *catalogs_, *objects_, clock_);
        }));
    aggregator_ = apiserver::StartClusterRoleAggregator(*catalogs_, *cache_, *objects_, clock_);
    tasks_ = std::move(tasks);
  }

  // Forgets what was old at the last call.
  absl::Status Compact(store::Revision* last) {
    const absl::StatusOr<store::Revision> now = store_->CurrentRevision();
    if (!now.ok()) return now.status();
    const store::Revision old = std::exchange(*last, *now);
    if (old == 0 || old == *now) return absl::OkStatus();
    const absl::Status status = store_->Compact(old);
    // Another API server on the same store was faster.
    return absl::IsOutOfRange(status) ? absl::OkStatus() : status;
  }

  absl::Status TellReady() const {
    LOG(kInfo, "main", "ready");
    if (options_.address_file.empty()) return absl::OkStatus();
    return WriteFileAtomically(options_.address_file, url_, 0644);
  }

  absl::Status Announce() {
    kubeconfig_path_ = options_.data_dir + "/admin.kubeconfig";
    struct Client {
      const char* file;
      const char* user;
      const tls::KeyPair& identity;
    };
    for (const Client& client : {
             Client{"admin", "admin", certificates_.admin},
             Client{"controller-manager", "system:kube-controller-manager",
                    certificates_.controller_manager},
             Client{"scheduler", "system:kube-scheduler", certificates_.scheduler},
         }) {
      const absl::Status status = WriteFileAtomically(
          absl::StrCat(options_.data_dir, "/", client.file, ".kubeconfig"),
          Kubeconfig(url_, certificates_.ca.certificate_chain_pem, client.user, client.identity),
          0600);
      if (!status.ok()) return status;
    }
    LOG(kInfo, "main", "serving ", url_, ", kubeconfig ", kubeconfig_path_);
    return absl::OkStatus();
  }

  const ApiServerOptions options_;
  const Clock& clock_;
  apiserver::SystemObjectsOptions system_;
  ClusterCertificates certificates_;
  std::string url_, kubeconfig_path_;

  metrics::Registry metrics_;
  apiserver::Health health_;
  FastRandom objects_random_, handler_random_;
  apiserver::SchemaArena arena_;
  apiserver::TokenIssuerOptions issuer_options_;
  // In the order in which they are made: what is later uses what is earlier.
  std::unique_ptr<apiserver::ServiceAllocation> allocation_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<apiserver::WatchCache> cache_;
  std::unique_ptr<apiserver::CrdCatalog> catalogs_;
  std::unique_ptr<apiserver::Authenticator> authenticator_, token_authenticator_;
  std::unique_ptr<apiserver::TokenIssuer> issuer_;
  std::unique_ptr<apiserver::RbacAuthorizer> rbac_;
  std::unique_ptr<apiserver::Authorizer> authorizer_;
  std::unique_ptr<apiserver::Admission> admission_;
  std::unique_ptr<apiserver::Objects> objects_;
  std::unique_ptr<apiserver::HttpsClient> kubelet_client_;
  std::unique_ptr<apiserver::Kubelets> kubelets_;
  std::unique_ptr<apiserver::MetricsApi> metrics_api_;
  std::unique_ptr<apiserver::Handler> resources_, discovery_, openapi_, chain_;
  std::unique_ptr<apiserver::InFlightLimiter> limiter_;
  std::unique_ptr<apiserver::WatchHub> hub_;
  std::unique_ptr<apiserver::Server> server_;
  std::unique_ptr<apiserver::ClusterRoleAggregator> aggregator_;
  std::vector<std::unique_ptr<Background>> tasks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> StartApiServer(const ApiServerOptions& options,
                                                          const Clock& clock) {
  auto instance = std::make_unique<Instance>(options, clock);
  if (absl::Status status = instance->Start(); !status.ok()) return status;
  return instance;
}

}  // namespace meltemi::orchestrator
