#include "pilot/app/cluster_side.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/json/parse.h"
#include "base/log/log.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "kube/client/client.h"
#include "kube/client/kubeconfig.h"
#include "pilot/app/kubernetes.h"
#include "pilot/ca/authority.h"
#include "pilot/ca/ca_service.h"
#include "pilot/ca/keys_store.h"
#include "pilot/ca/roots_publisher.h"
#include "pilot/ca/token_review.h"
#include "pilot/ca/webhook_bundles.h"
#include "pilot/inject/settings.h"
#include "pilot/inject/webhook/webhook_server.h"
#include "pilot/serve/ads_server.h"
#include "pilot/validate/admission/admission.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

constexpr char kAccountFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr char kService[] = "meltemi-pilot";
constexpr std::chrono::seconds kServerWaitMax(60);
constexpr std::chrono::milliseconds kServerPoll(250);
// Pilot's own certificate is made anew so often; it lives for three months.
constexpr Duration kRenewInterval = std::chrono::hours(24);

std::string Text(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// Reads the environment: this is the program's own affair.
absl::StatusOr<kube::ClusterAccess> AccessOf(const Options& options) {
  if (!options.in_cluster) return kube::ReadKubeconfig(options.kubeconfig);
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  return kube::InCluster(host == nullptr ? "" : host, port == nullptr ? "" : port, kAccountFolder);
}

std::string ReplicaName(const Options& options) {
  if (!options.pod_name.empty()) return options.pod_name;
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat(host, "_", getpid());
}

absl::StatusOr<InjectSettings> ReadInjectSettings(const Options& options) {
  InjectSettings settings;
  if (!options.inject_config_path.empty()) {
    std::ifstream in(options.inject_config_path);
    if (!in) {
      return absl::NotFoundError(
          absl::StrCat("--inject-config ", options.inject_config_path, ": cannot be read"));
    }
    std::ostringstream text;
    text << in.rdbuf();
    absl::StatusOr<InjectSettings> read = ParseInjectSettings(text.str());
    if (!read.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--inject-config ", options.inject_config_path,
                                                     ": ", read.status().message()));
    }
    settings = *std::move(read);
  }
  return settings;
}

// 32 of "1.32"; 0: not known.
int ServerMinor(kube::Client& client) {
  const kube::Result<kube::ApiAnswer> answer = client.Call({.path = "/version"});
  if (!answer.ok()) return 0;
  const auto version = json::Parse(answer->body);
  if (!version.ok()) return 0;
  const std::string text(version->FindString("minor"));
  int number = 0;
  const size_t digits = text.find_first_not_of("0123456789");
  return absl::SimpleAtoi(text.substr(0, digits), &number) ? number : 0;
}

struct ServingNames {
  std::vector<std::string> dns, ips;
};

ServingNames NamesOf(const Options& options) {
  const std::string& ns = options.mesh.root_namespace;
  ServingNames names;
  for (const char* service : {kService, "istiod"}) {
    for (const std::string& suffix :
         {std::string(), std::string(".svc"), ".svc." + options.mesh.domain}) {
      names.dns.push_back(absl::StrCat(service, ".", ns, suffix));
    }
  }
  for (const std::string& name : options.serving_names) {
    in6_addr ignored;
    const bool ip = inet_pton(AF_INET, name.c_str(), &ignored) == 1 ||
                    inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
    (ip ? names.ips : names.dns).push_back(name);
  }
  return names;
}

class ConnectedSide final : public ClusterSide {
 public:
  ConnectedSide(Loop& loop, metrics::Scope& metrics, const Options& options,
                std::unique_ptr<Kubernetes> kubernetes)
      : loop_(loop),
        metrics_(metrics),
        options_(options),
        kubernetes_(std::move(kubernetes)),
        reviewer_(kubernetes_->client(), kubernetes_->executor(), options.mesh.trust_domain) {}

  // What asks the API server ends before what it asks with; calls that are under way are waited
  // for.
  ~ConnectedSide() override {
    renew_timer_ = nullptr;
    webhooks_ = nullptr;
    ads_ = nullptr;
    SetLeading(false);
    kubernetes_ = nullptr;
  }

  absl::Status TakeKeys() {
    const auto end = std::chrono::steady_clock::now() + kServerWaitMax;
    while (true) {
      absl::StatusOr<AuthorityKeys> keys =
          LoadOrMakeKeys(kubernetes_->client(), options_.mesh.root_namespace,
                         options_.mesh.trust_domain, clock_.WallNow());
      if (keys.ok()) {
        auto authority = Authority::New(*std::move(keys), {}, clock_.WallNow());
        if (!authority.ok()) return authority.status();
        authority_ = *std::move(authority);
        return absl::OkStatus();
      }
      const bool again = keys.status().code() == absl::StatusCode::kUnavailable;
      if (!again || std::chrono::steady_clock::now() > end) {
        return absl::Status(keys.status().code(), absl::StrCat("the mesh's certificate authority: ",
                                                               Text(keys.status())));
      }
      std::this_thread::sleep_for(kServerPoll);
    }
  }

  ConfigSource& Read(ConfigSource::OnChange on_change) override {
    source_ = &kubernetes_->Read(Validate, std::move(on_change));
    return *source_;
  }

  absl::Status Serve(PushServer* push, ProgrammedSource* programmed) override {
    if (absl::Status status = ServeProxies(push); !status.ok()) return status;
    if (absl::Status status = ServeWebhooks(); !status.ok()) return status;
    kubernetes_->StartWriting(*programmed, [this](bool leading) { SetLeading(leading); });
    renew_timer_ = loop_.NewTimer([this] { Renew(); });
    renew_timer_->Arm(kRenewInterval);
    return absl::OkStatus();
  }

  int secure_port() const override { return ads_->port(); }
  int webhook_port() const override { return webhooks_->address().port(); }

 private:
  absl::StatusOr<tls::KeyPair> NewIdentity() const {
    const ServingNames names = NamesOf(options_);
    return authority_->ServingIdentity(names.dns, names.ips, clock_.WallNow());
  }

  absl::Status ServeProxies(PushServer* push) {
    const absl::StatusOr<tls::KeyPair> identity = NewIdentity();
    if (!identity.ok()) return identity.status();
    auto ads = AdsServer::Start(
        &loop_, push,
        {.address = options_.secure_address, .identity = &*identity, .authenticator = &reviewer_});
    if (!ads.ok()) return ads.status();
    ads_ = *std::move(ads);
    AddCaService(loop_, metrics_, clock_, authority_, reviewer_, ads_->server());
    LOG(kInfo, "pilot", "serving xDS and certificates over TLS on ", options_.secure_address);
    return absl::OkStatus();
  }

  absl::Status ServeWebhooks() {
    absl::StatusOr<InjectSettings> settings = ReadInjectSettings(options_);
    if (!settings.ok()) return settings.status();
    if (settings->server_minor == 0) settings->server_minor = ServerMinor(kubernetes_->client());
    const absl::StatusOr<tls::KeyPair> identity = NewIdentity();
    if (!identity.ok()) return identity.status();
    const absl::StatusOr<net::Address> address = net::Address::Parse(options_.webhook_address);
    if (!address.ok()) return address.status();
    auto server = WebhookServer::Start(
        loop_, metrics_,
        {.address = *address,
         .identity = *identity,
         .settings = std::make_shared<const InjectSettings>(*std::move(settings)),
         .validate = [this](absl::string_view review) { return ReviewManifest(review); }});
    if (!server.ok()) return server.status();
    webhooks_ = *std::move(server);
    LOG(kInfo, "pilot", "webhooks on ", webhooks_->address().ToString());
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReviewManifest(absl::string_view review) {
    absl::StatusOr<ValidationAnswer> answer =
        AnswerValidation(review, source_->Objects(), {.domain = options_.mesh.domain});
    if (!answer.ok()) return answer.status();
    if (!answer->allowed) {
      LOG(kInfo, "validate", answer->object, " is refused: ", answer->why);
    }
    return std::move(answer->body);
  }

  void SetLeading(bool leading) {
    bundles_ = nullptr;
    roots_ = nullptr;
    if (!leading) return;
    roots_ = StartRootsPublisher(kubernetes_->client(), kubernetes_->executor(),
                                 authority_->roots_pem());
    bundles_ = StartWebhookBundles(kubernetes_->client(), kubernetes_->executor(),
                                   authority_->roots_pem());
  }

  void Renew() {
    renew_timer_->Arm(kRenewInterval);
    const absl::StatusOr<tls::KeyPair> identity = NewIdentity();
    for (const absl::Status& status :
         {identity.status(), identity.ok() ? ads_->SetIdentity(*identity) : absl::OkStatus(),
          identity.ok() ? webhooks_->SetIdentity(*identity) : absl::OkStatus()}) {
      if (!status.ok()) LOG(kError, "pilot", "renewing pilot's own certificate: ", Text(status));
    }
  }

  Loop& loop_;
  metrics::Scope& metrics_;
  const Options& options_;
  const SystemClock clock_;
  std::unique_ptr<Kubernetes> kubernetes_;
  TokenReviewer reviewer_;
  std::shared_ptr<const Authority> authority_;
  KubeSource* source_ = nullptr;
  std::unique_ptr<AdsServer> ads_;
  std::unique_ptr<WebhookServer> webhooks_;
  // While this replica leads.
  std::unique_ptr<RootsPublisher> roots_;
  std::unique_ptr<WebhookBundles> bundles_;
  std::unique_ptr<Timer> renew_timer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterSide>> ClusterSide::Connect(Loop& loop,
                                                                  metrics::Scope& metrics,
                                                                  const Options& options) {
  absl::StatusOr<kube::ClusterAccess> access = AccessOf(options);
  if (!access.ok()) return access.status();
  static const SystemClock& clock = *new SystemClock();
  auto kubernetes = Kubernetes::Connect(loop, clock,
                                        {.access = *std::move(access),
                                         .identity = ReplicaName(options),
                                         .root_namespace = options.mesh.root_namespace});
  if (!kubernetes.ok()) return kubernetes.status();
  auto side = std::make_unique<ConnectedSide>(loop, metrics, options, *std::move(kubernetes));
  if (absl::Status status = side->TakeKeys(); !status.ok()) return status;
  return side;
}

}  // namespace meltemi::pilot
