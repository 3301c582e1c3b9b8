#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/tls/signing_request.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/certificates/certificates.h"
#include "orchestrator/controllers/certificates/request_rules.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

// Clocks of a cluster's machines differ a little; what lives for less than a working day is not
// shortened by it.
constexpr int64_t kBackdateSeconds = 300, kShortSeconds = 8 * 3600, kSecondsMin = 600;

class Signer final : public Running {
 public:
  Signer(Context& context, const CertificateSignerOptions& options, int64_t authority_ends_s)
      : context_(context),
        authority_{options.ca_cert_pem, options.ca_key_pem},
        authority_ends_s_(authority_ends_s),
        seconds_max_(std::chrono::duration_cast<seconds>(options.duration).count()),
        requests_(context.informers.ListerOf<Request>()),
        queue_(kube::NewController(
            {.name = "certificate_csrsigning", .workers = 1}, context.executor, context.metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })) {
    context.informers.Of<Request>().AddHandler([this](const kube::Change& change) {
      if (change.after != nullptr) queue_->Add(kube::NameOf(*change.after));
    });
  }

  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& name) {
    const std::shared_ptr<const Request> seen = requests_.Get("", name);
    if (seen == nullptr || !seen->status().certificate().empty() || !IsApproved(*seen) ||
        FindCondition(*seen, "Failed") != nullptr || !IsOurSigner(seen->spec().signer_name())) {
      return kube::Finished();
    }
    Request request = *seen;
    const absl::StatusOr<tls::SigningRequestInfo> info =
        tls::ReadSigningRequestPem(request.spec().request());
    if (!info.ok()) return kube::Finished();
    absl::Status status = CheckForSigner(request, *info);
    if (!status.ok()) {
      AddFailure(status, request);
    } else {
      absl::StatusOr<std::string> certificate = Sign(request);
      if (!certificate.ok()) {
        return kube::InternalError(
            absl::StrCat("error auto signing csr: ", certificate.status().message()));
      }
      request.mutable_status()->set_certificate(*std::move(certificate));
    }
    const kube::Result<Request> written = kube::UpdateStatus(context_.client, request);
    if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
    return kube::Finished();
  }

  void AddFailure(const absl::Status& why, Request& request) const {
    auto& condition = *request.mutable_status()->add_conditions();
    condition.set_type("Failed");
    condition.set_status("True");
    condition.set_reason("SignerValidationFailure");
    condition.set_message(std::string(why.message()));
    condition.mutable_last_update_time()->set_seconds(NowSeconds());
    condition.mutable_last_transition_time()->set_seconds(NowSeconds());
  }

  absl::StatusOr<std::string> Sign(const Request& request) const {
    const int64_t now = NowSeconds();
    int64_t lifetime = seconds_max_;
    if (request.spec().has_expiration_seconds()) {
      lifetime =
          std::clamp<int64_t>(request.spec().expiration_seconds(), kSecondsMin, seconds_max_);
    }
    if (now >= authority_ends_s_) {
      return absl::FailedPreconditionError("the signer's own certificate has expired");
    }
    tls::SigningPolicy policy;
    policy.usages = {request.spec().usages().begin(), request.spec().usages().end()};
    policy.not_before_s = now - kBackdateSeconds;
    policy.not_after_s = now + lifetime - (lifetime < kShortSeconds ? 0 : kBackdateSeconds);
    policy.not_after_s = std::min(policy.not_after_s, authority_ends_s_);
    return tls::SignRequest(request.spec().request(), authority_, policy);
  }

  int64_t NowSeconds() const {
    return std::chrono::duration_cast<seconds>(context_.WallNow().time_since_epoch()).count();
  }

  Context& context_;
  const tls::KeyPair authority_;
  const int64_t authority_ends_s_, seconds_max_;
  const kube::Lister<Request> requests_;
  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

absl::StatusOr<std::unique_ptr<Running>> NewCertificateSigner(
    Context& context, const CertificateSignerOptions& options) {
  const absl::StatusOr<tls::CertificateInfo> info = tls::ReadCertificatePem(options.ca_cert_pem);
  if (!info.ok()) return info.status();
  if (!tls::IsCertificateOf(options.ca_cert_pem, options.ca_key_pem)) {
    return absl::InvalidArgumentError("the key is not that of the certificate");
  }
  return std::unique_ptr<Running>(std::make_unique<Signer>(context, options, info->not_after_s));
}

}  // namespace meltemi::controllers
