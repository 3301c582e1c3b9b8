#include "pilot/ca/ca_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/grpc/server.h"
#include "base/log/log.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "pilot/ca/authority.h"
#include "pilot/push/caller.h"
#include "security/v1alpha1/ca.pb.h"

namespace meltemi::pilot {
namespace {

using http::grpc::Server;
using istio::v1::auth::IstioCertificateRequest;
using istio::v1::auth::IstioCertificateResponse;

constexpr char kCreateCertificate[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr size_t kRequestBytesMax = 64 * 1024;

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

// Shared by the calls that wait for the authenticator.
class CaService final : public std::enable_shared_from_this<CaService> {
 public:
  CaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
            std::shared_ptr<const Authority> authority, CallAuthenticator& authenticator)
      : loop_(loop),
        scope_(scope),
        clock_(clock),
        authority_(std::move(authority)),
        authenticator_(authenticator) {}

  void CreateCertificate(const Server::UnaryRequest& call, Server::Reply reply) {
    scope_.GetCounter("citadel_server_csr_count").Inc();
    IstioCertificateRequest request;
    if (!request.ParseFromString(call.message)) {
      return reply(absl::InvalidArgumentError("not an IstioCertificateRequest"));
    }
    if (request.csr().size() > kRequestBytesMax) {
      return reply(absl::InvalidArgumentError("the CSR is too long"));
    }
    const std::string token(BearerToken(call.metadata->Get("authorization")));
    // The answer comes on any thread.
    authenticator_.Authenticate(
        token, [self = shared_from_this(), request = std::move(request),
                from = call.remote.ToString(), reply = std::move(reply)](auto caller) {
          self->loop_.Post([self, request, from, reply, caller = std::move(caller)] {
            self->Answer(caller, request, from, reply);
          });
        });
  }

 private:
  void Answer(const absl::StatusOr<Caller>& caller, const IstioCertificateRequest& request,
              const std::string& from, const Server::Reply& reply) const {
    const absl::StatusOr<std::string> answer =
        caller.ok() ? Sign(*caller, request) : absl::StatusOr<std::string>(caller.status());
    scope_.GetCounter(CounterOf(answer.status())).Inc();
    if (!answer.ok()) {
      LOG(kWarn, "ca", from, caller.ok() ? " (" + caller->Spiffe() + ")" : "", ": ",
          answer.status().message());
    }
    reply(answer);
  }

  absl::StatusOr<std::string> Sign(const Caller& caller,
                                   const IstioCertificateRequest& request) const {
    const absl::StatusOr<std::vector<std::string>> chain = authority_->Sign(
        request.csr(), caller, seconds(request.validity_duration()), clock_.WallNow());
    if (!chain.ok()) return chain.status();
    IstioCertificateResponse response;
    for (const std::string& link : *chain) response.add_cert_chain(link);
    return response.SerializeAsString();
  }

  Loop& loop_;
  metrics::Scope& scope_;
  const Clock& clock_;
  const std::shared_ptr<const Authority> authority_;
  CallAuthenticator& authenticator_;
};

}  // namespace

void AddCaService(Loop& loop, metrics::Scope& scope, const Clock& clock,
                  std::shared_ptr<const Authority> authority, CallAuthenticator& authenticator,
                  Server& server) {
  auto service =
      std::make_shared<CaService>(loop, scope, clock, std::move(authority), authenticator);
  server.AddUnary(kCreateCertificate, [service](Server::UnaryRequest request, Server::Reply reply) {
    service->CreateCertificate(request, std::move(reply));
  });
}

}  // namespace meltemi::pilot
