// CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may decide on and
// sign requests of which signer, and what may not be asked for.
// Source: plugin/pkg/admission/certificates of Kubernetes 1.32.
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/tls/signing_request.h"
#include "orchestrator/apiserver/admission/plugin.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr char kGroup[] = "certificates.k8s.io";
constexpr char kPlural[] = "certificatesigningrequests";
constexpr char kClientSigner[] = "kubernetes.io/kube-apiserver-client";

// On this signer, or on all of its domain.
bool MayUse(Authorizer& authorizer, const UserInfo& user, absl::string_view verb,
            absl::string_view signer) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(signer, absl::MaxSplits('/', 1));
  for (const std::string& name : {std::string(signer), absl::StrCat(parts.first, "/*")}) {
    Attributes attributes;
    attributes.user = user;
    attributes.verb = std::string(verb);
    attributes.group = kGroup;
    attributes.version = "*";
    attributes.resource = "signers";
    attributes.name = name;
    if (authorizer.Authorize(attributes).decision == Decision::kAllow) return true;
  }
  return false;
}

std::string SignerOf(const Value& request) {
  const Value* spec = request.Find("spec");
  return spec == nullptr ? "" : std::string(spec->FindString("signerName"));
}

class UseOfSigner final : public AdmissionPlugin {
 public:
  UseOfSigner(const char* plugin, const char* subresource, const char* verb, Authorizer& authorizer)
      : plugin_(plugin), subresource_(subresource), verb_(verb), authorizer_(authorizer) {}

  absl::string_view name() const override { return plugin_; }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (!IsResource(request, kGroup, kPlural) || request.subresource != subresource_ ||
        request.operation != Operation::kUpdate || !Decides(request)) {
      return kube::Done{};
    }
    // That of the stored request: the other is what the client says.
    const std::string signer = SignerOf(request.old_object);
    if (MayUse(authorizer_, request.user, verb_, signer)) return kube::Done{};
    return Refuse(request, absl::StrCat("user not permitted to ", verb_,
                                        " requests with signerName \"", signer, "\""));
  }

 private:
  // Updates of the status that change neither of these are nobody's business.
  bool Decides(const AdmissionRequest& request) const {
    if (subresource_ != "status") return true;
    const auto differs = [&](absl::string_view member) {
      const Value* before = request.old_object.Find("status", member);
      const Value* after = request.object.Find("status", member);
      if (before == nullptr || after == nullptr) return before != after;
      return !(*before == *after);
    };
    return differs("certificate") || differs("conditions");
  }

  const absl::string_view plugin_, subresource_, verb_;
  Authorizer& authorizer_;
};

class SubjectRestriction final : public AdmissionPlugin {
 public:
  absl::string_view name() const override { return "CertificateSubjectRestriction"; }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (!IsMain(request, kGroup, kPlural) || request.operation != Operation::kCreate ||
        SignerOf(request.object) != kClientSigner) {
      return kube::Done{};
    }
    const Value* encoded = request.object.Find("spec", "request");
    std::string pem;
    if (encoded != nullptr) absl::Base64Unescape(encoded->text(), &pem);
    const absl::StatusOr<tls::SigningRequestInfo> info = tls::ReadSigningRequestPem(pem);
    if (!info.ok()) {
      return Refuse(request, absl::StrCat("failed to parse CSR: ", info.status().message()));
    }
    for (const std::string& organization : info->organizations) {
      if (organization != "system:masters") continue;
      return Refuse(request, absl::StrCat("use of ", kClientSigner,
                                          " signer with system:masters group is not allowed"));
    }
    return kube::Done{};
  }
};

}  // namespace

std::unique_ptr<AdmissionPlugin> NewCertificateApproval(Authorizer& authorizer) {
  return std::make_unique<UseOfSigner>("CertificateApproval", "approval", "approve", authorizer);
}

std::unique_ptr<AdmissionPlugin> NewCertificateSigning(Authorizer& authorizer) {
  return std::make_unique<UseOfSigner>("CertificateSigning", "status", "sign", authorizer);
}

std::unique_ptr<AdmissionPlugin> NewCertificateSubjectRestriction() {
  return std::make_unique<SubjectRestriction>();
}

}  // namespace meltemi::apiserver
