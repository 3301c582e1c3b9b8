#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/log/log.h"
#include "base/tls/certificate.h"
#include "kube/client/typed.h"
#include "kube/core/v1/config.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/certificates/certificates.h"
#include "orchestrator/controllers/certificates/request_rules.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Secret;

constexpr Duration kRound = minutes(60);
constexpr int64_t kDecidedSeconds = 3600, kPendingSeconds = 24 * 3600;
constexpr char kTokenType[] = "bootstrap.kubernetes.io/token";
constexpr char kTokenSelector[] = "type=bootstrap.kubernetes.io/token";

int64_t Seconds(WallTime time) {
  return std::chrono::duration_cast<seconds>(time.time_since_epoch()).count();
}

// "" while it is to be kept.
const char* WhyOld(const Request& request, int64_t now_s) {
  const bool issued = !request.status().certificate().empty();
  if (request.status().conditions().empty()) {
    const int64_t age = now_s - request.metadata().creation_timestamp().seconds();
    return age > kPendingSeconds ? "nobody has decided on it" : "";
  }
  for (const auto& condition : request.status().conditions()) {
    const bool old = now_s - condition.last_update_time().seconds() > kDecidedSeconds;
    if (condition.type() == "Approved" && issued) {
      if (old) return "it has been issued";
      const auto info = tls::ReadCertificatePem(request.status().certificate());
      if (info.ok() && info->not_after_s < now_s) return "its certificate has expired";
    }
    if (condition.type() == "Denied" && old) return "it has been denied";
    if (condition.type() == "Failed" && old) return "it has failed";
  }
  return "";
}

class RequestCleaner final : public Running {
 public:
  explicit RequestCleaner(Context& context)
      : context_(context),
        requests_(context.informers.ListerOf<Request>()),
        queue_(kube::NewController({.name = "csrcleaner", .workers = 1, .backoff_max = kRound},
                                   context.executor, context.metrics,
                                   [this](const kube::NamespacedName&) { return Round(); })) {}

  void Start() override {
    queue_->Add({"", "round"});
    queue_->Start();
  }

 private:
  kube::ReconcileResult Round() {
    for (const auto& request : requests_.List()) {
      const absl::string_view why = WhyOld(*request, Seconds(context_.WallNow()));
      if (why.empty()) continue;
      const std::string& name = request->metadata().name();
      LOG(kInfo, "certificates", "removes the request ", name, ": ", why);
      const kube::Outcome gone = kube::Delete<Request>(context_.client, "", name);
      if (!gone.ok() && !kube::IsNotFound(gone.status())) return gone.status();
    }
    return kube::Again(kRound);
  }

  Context& context_;
  const kube::Lister<Request> requests_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

class TokenCleaner final : public Running {
 public:
  explicit TokenCleaner(Context& context)
      : context_(context),
        secrets_(context.informers.ListerOf<Secret>(kTokenSelector)),
        queue_(kube::NewController({.name = "token_cleaner", .workers = 1}, context.executor,
                                   context.metrics,
                                   [this](const kube::NamespacedName& key) { return Look(key); })) {
    context.informers.Of<Secret>(kTokenSelector).AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
  }

  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Look(const kube::NamespacedName& key) {
    const std::shared_ptr<const Secret> secret = secrets_.Get(key);
    if (secret == nullptr || key.ns != "kube-system" || secret->type() != kTokenType) {
      return kube::Finished();
    }
    const auto expiration = secret->data().find("expiration");
    if (expiration == secret->data().end()) return kube::Finished();
    absl::Time when;
    std::string error;
    // One that can't be read is no promise: the token is as good as expired.
    if (absl::ParseTime(absl::RFC3339_full, expiration->second, &when, &error)) {
      const int64_t left_s = absl::ToUnixSeconds(when) - Seconds(context_.WallNow());
      if (left_s > 0) return kube::Again(seconds(left_s));
    }
    LOG(kInfo, "certificates", "removes the expired token ", key.name);
    const kube::Outcome gone =
        kube::Delete<Secret>(context_.client, key.ns, key.name, {.uid = secret->metadata().uid()});
    if (!gone.ok() && !kube::IsNotFound(gone.status()) && !kube::IsConflict(gone.status())) {
      return gone.status();
    }
    return kube::Finished();
  }

  Context& context_;
  const kube::Lister<Secret> secrets_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

std::unique_ptr<Running> NewCertificateCleaner(Context& context) {
  return std::make_unique<RequestCleaner>(context);
}

std::unique_ptr<Running> NewBootstrapTokenCleaner(Context& context) {
  return std::make_unique<TokenCleaner>(context);
}

}  // namespace meltemi::controllers
