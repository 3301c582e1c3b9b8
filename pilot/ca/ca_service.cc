#include "pilot/ca/ca_service.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/ca/authority.h"
#include "pilot/push/caller.h"
#include "security/v1alpha1/ca.pb.h"
#include "security/v1alpha1/ca_service.grpc.pb.h"

namespace meltemi::pilot {
namespace {

using istio::v1::auth::IstioCertificateRequest;
using istio::v1::auth::IstioCertificateResponse;
using istio::v1::auth::IstioCertificateService;

constexpr size_t kRequestBytesMax = 64 * 1024;

grpc::Status StatusOf(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(status.message().data(), status.message().size())};
}

std::string TokenOf(const grpc::CallbackServerContext& context) {
  const auto it = context.client_metadata().find("authorization");
  if (it == context.client_metadata().end()) return "";
  return std::string(BearerToken({it->second.data(), it->second.size()}));
}

const char* CounterOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return "citadel_server_success_cert_issuance_count";
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnavailable:
      return "citadel_server_authentication_failure_count";
    case absl::StatusCode::kPermissionDenied:
      return "citadel_server_id_extraction_err_count";
    case absl::StatusCode::kInvalidArgument:
      return "citadel_server_csr_parsing_err_count";
    default:
      return "citadel_server_csr_sign_err_count";
  }
}

class CaService final : public IstioCertificateService::CallbackService {
 public:
  CaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
            std::shared_ptr<const Authority> authority, CallAuthenticator& authenticator)
      : loop_(loop),
        scope_(scope),
        clock_(clock),
        authority_(std::move(authority)),
        authenticator_(authenticator) {}

  // gRPC keeps request, response and reactor until Finish.
  grpc::ServerUnaryReactor* CreateCertificate(grpc::CallbackServerContext* context,
                                              const IstioCertificateRequest* request,
                                              IstioCertificateResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    Count("citadel_server_csr_count");
    if (request->csr().size() > kRequestBytesMax) {
      reactor->Finish(StatusOf(absl::InvalidArgumentError("the CSR is too long")));
      return reactor;
    }
    authenticator_.Authenticate(TokenOf(*context), [this, context, request, response,
                                                    reactor](absl::StatusOr<Caller> caller) {
      const absl::Status status = caller.ok() ? Sign(*caller, *request, response) : caller.status();
      Count(CounterOf(status));
      if (!status.ok()) {
        LOG(kWarn, "ca", context->peer(), caller.ok() ? " (" + caller->Spiffe() + ")" : "", ": ",
            status.message());
      }
      reactor->Finish(StatusOf(status));
    });
    return reactor;
  }

 private:
  absl::Status Sign(const Caller& caller, const IstioCertificateRequest& request,
                    IstioCertificateResponse* response) const {
    const absl::StatusOr<std::vector<std::string>> chain = authority_->Sign(
        request.csr(), caller, seconds(request.validity_duration()), clock_.WallNow());
    if (!chain.ok()) return chain.status();
    for (const std::string& link : *chain) response->add_cert_chain(link);
    return absl::OkStatus();
  }

  void Count(const char* name) {
    loop_.Post([this, name] { scope_.GetCounter(name).Inc(); });
  }

  Loop& loop_;
  metrics::Scope& scope_;
  const Clock& clock_;
  const std::shared_ptr<const Authority> authority_;
  CallAuthenticator& authenticator_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewCaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
                                            std::shared_ptr<const Authority> authority,
                                            CallAuthenticator& authenticator) {
  return std::make_unique<CaService>(loop, scope, clock, std::move(authority), authenticator);
}

}  // namespace meltemi::pilot
