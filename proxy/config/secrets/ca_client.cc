#include "proxy/config/secrets/ca_client.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/log/log.h"
#include "proxy/config/secrets/pem.h"
#include "proxy/config/secrets/secrets.h"
#include "security/v1alpha1/ca.pb.h"

namespace meltemi::proxy {
namespace {

constexpr char kMethod[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr size_t kAnswerBytesMax = 512 * 1024;
// The wall clock may be set: it is looked at this often.
constexpr Duration kLookInterval = minutes(1);

std::string TextOf(WallTime time) {
  return absl::FormatTime(absl::RFC3339_sec, absl::FromChrono(time), absl::UTCTimeZone());
}

// What a failure means, for somebody who has to do something about it.
std::string Meaning(const absl::Status& status, const CredentialFiles& files) {
  const absl::string_view words = status.message();
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
      return absl::StrCat("the token in ", files.token_file, " was refused: ", words);
    case absl::StatusCode::kPermissionDenied:
      return absl::StrCat("the authority refuses: ", words);
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kNotFound:
      if (absl::StrContains(words, "TLS handshake")) {
        return absl::StrCat("the authority is not trusted by ",
                            files.root_file.empty() ? "the roots" : files.root_file, ": ", words);
      }
      return absl::StrCat("the authority can't be reached: ", words);
    default:
      return std::string(words);
  }
}

}  // namespace

CaClient::CaClient(Loop& loop, Random& random, net::DnsResolver& dns, FileWatcher& watcher,
                   Secrets& secrets, metrics::Scope& scope, const CaOptions& options)
    : loop_(loop),
      random_(random),
      dns_(dns),
      secrets_(secrets),
      options_(options),
      where_(absl::StrCat(options.host, ":", options.port)),
      requests_(scope.GetCounter("istio_agent_num_outgoing_requests", {{"request_type", "csr"}})),
      failures_(
          scope.GetCounter("istio_agent_num_failed_outgoing_requests", {{"request_type", "csr"}})),
      expiry_(scope.GetGauge("istio_agent_cert_expiry_seconds",
                             {{"resource_name", std::string(kWorkloadCertificate)}})),
      credentials_(options.files),
      state_(options.identity, options.times),
      timer_(loop.NewTimer([this] { OnTimer(); })) {
  secrets_.Claim(SecretKind::kCertificate, std::string(kWorkloadCertificate));
  secrets_.Claim(SecretKind::kRoots, std::string(kMeshRoots));
  if (!options.files.root_file.empty()) {
    root_watch_ = watcher.Watch(options.files.root_file, [this] { OnRootFile(); });
  }
}

CaClient::~CaClient() = default;

void CaClient::Start() {
  PublishRoots();
  Ask();
}

void CaClient::OnTimer() {
  const std::optional<Duration> due = state_.DueIn(loop_.Now(), loop_.WallNow());
  if (due && *due <= Duration::zero()) return Ask();
  Rearm();
}

void CaClient::Rearm() {
  const std::optional<Duration> due = state_.DueIn(loop_.Now(), loop_.WallNow());
  if (due) timer_->Arm(std::min(*due, kLookInterval));
}

// ---- One request --------------------------------------------------------------------------------

void CaClient::Ask() {
  requests_.Inc();
  absl::StatusOr<CaState::Request> request = state_.Begin();
  if (!request.ok()) return Fail(request.status());
  csr_ = std::move(request->csr_pem);
  validity_s_ = request->validity_s;
  call_options_ = http::grpc::BidiOptions();
  call_options_.path = kMethod;
  call_options_.authority = where_;
  call_options_.message_bytes_max = kAnswerBytesMax;
  call_options_.metadata.emplace_back("clusterid", options_.cluster_id);
  absl::Status status = credentials_.AddTo(options_.host, &call_options_);
  if (!status.ok()) return Fail(status);
  const absl::StatusOr<net::Address> address = net::Address::FromIp(options_.host, options_.port);
  if (address.ok()) return Call(*address);
  query_ = dns_.Resolve(
      options_.host, net::DnsFamily::kAuto,
      [this](absl::StatusOr<net::DnsAnswer> answer) { OnResolved(std::move(answer)); });
}

void CaClient::OnResolved(absl::StatusOr<net::DnsAnswer> answer) {
  if (!answer.ok()) return Fail(absl::UnavailableError(answer.status().message()));
  if (answer->addresses.empty()) {
    return Fail(absl::UnavailableError(absl::StrCat(options_.host, " has no address")));
  }
  net::Address address = answer->addresses[address_++ % answer->addresses.size()];
  address.set_port(options_.port);
  Call(address);
}

void CaClient::Call(const net::Address& address) {
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(csr_);
  request.set_validity_duration(validity_s_);
  call_ = http::grpc::CallUnary(
      loop_, address, call_options_, options_.call_timeout, request.SerializeAsString(),
      [this](absl::StatusOr<std::string> answer) { OnAnswer(std::move(answer)); });
}

void CaClient::OnAnswer(absl::StatusOr<std::string> answer) {
  call_.reset();
  if (!answer.ok()) return Fail(answer.status());
  istio::v1::auth::IstioCertificateResponse response;
  if (!response.ParseFromString(*answer)) {
    return Fail(absl::InternalError("the authority's answer can't be decoded"));
  }
  const std::vector<std::string> chain(response.cert_chain().begin(), response.cert_chain().end());
  const bool first = state_.certificate() == nullptr;
  absl::Status status = state_.Answered(chain, loop_.Now(), loop_.WallNow(), random_);
  if (!status.ok()) {
    failures_.Inc();
    Explain(status);
    return Rearm();
  }
  last_error_.clear();
  LOG(kInfo, "secrets", "certificate for ", state_.identity(), " from ", where_, ", valid until ",
      TextOf(state_.expires()));
  // The roots first: a peer's certificate may be signed by the new one.
  PublishRoots();
  secrets_.SetLocalCertificate(std::string(kWorkloadCertificate), *state_.certificate());
  UpdateStats();
  Rearm();
  if (first && on_ready_) on_ready_();
}

// ---- What goes wrong ----------------------------------------------------------------------------

void CaClient::Fail(const absl::Status& status) {
  failures_.Inc();
  state_.Failed(loop_.Now(), random_);
  Explain(status);
  Rearm();
}

// Each reason is worth one line, however often it comes.
void CaClient::Explain(const absl::Status& status) {
  std::string meaning = Meaning(status, options_.files);
  const bool known = meaning == last_error_;
  last_error_ = std::move(meaning);
  if (known) {
    LOG(kDebug, "secrets", "still no certificate from ", where_, ": ", last_error_);
  } else if (!ready()) {
    LOG(kWarn, "secrets", "no certificate for ", state_.identity(), " from ", where_, ": ",
        last_error_, "; trying again");
  } else {
    LOG(kWarn, "secrets", "no new certificate from ", where_, ": ", last_error_,
        "; trying again, the one in use is valid until ", TextOf(state_.expires()));
  }
}

// ---- Roots --------------------------------------------------------------------------------------

void CaClient::PublishRoots() {
  std::string file = options_.files.root_pem;
  if (!options_.files.root_file.empty()) {
    absl::StatusOr<std::string> text = ReadSmallFile(options_.files.root_file);
    // While it is being replaced the roots stay as they are.
    if (!text.ok() && secrets_.Roots(kMeshRoots) != nullptr) return;
    if (text.ok()) file = *std::move(text);
  }
  if (file != file_roots_) state_.RetryNow();
  file_roots_ = file;
  std::string roots = JoinCertificates({file, state_.root_pem()});
  if (!roots.empty()) secrets_.SetLocalRoots(std::string(kMeshRoots), std::move(roots));
}

void CaClient::OnRootFile() {
  PublishRoots();
  Rearm();
}

void CaClient::UpdateStats() {
  if (!ready()) return;
  expiry_.Set(std::chrono::duration_cast<seconds>(state_.expires() - loop_.WallNow()).count());
}

}  // namespace meltemi::proxy
