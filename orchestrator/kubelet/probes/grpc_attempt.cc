#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/grpc/bidi_stream.h"
#include "base/grpc/status.h"
#include "orchestrator/kubelet/probes/attempts.h"
#include "orchestrator/kubelet/probes/health.pb.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using Kind = ProbeVerdict::Kind;

// "DEADLINE_EXCEEDED" as Go writes it: "DeadlineExceeded".
std::string GoCode(absl::StatusCode code) {
  std::string out;
  for (const absl::string_view word : absl::StrSplit(http::grpc::CodeName(code), '_')) {
    absl::StrAppend(&out, word.substr(0, 1), absl::AsciiStrToLower(word.substr(1)));
  }
  return out;
}

class GrpcAttempt final : public Attempt, private http::grpc::BidiEvents {
 public:
  GrpcAttempt(AttemptOwner& owner, const GrpcProbe& probe, ProbeDone done)
      : Attempt(owner, probe.timeout, std::move(done)), probe_(probe) {}
  ~GrpcAttempt() override { Release(); }

 private:
  const std::string& host() const override { return probe_.host; }
  uint16_t port() const override { return probe_.port; }

  void Connect(const net::Address& to) override {
    http::grpc::BidiOptions options;
    options.path = "/grpc.health.v1.Health/Check";
    options.authority = HostPort(probe_.host, probe_.port);
    options.metadata = {{"grpc-timeout", http::grpc::FormatTimeout(timeout())}};
    options.connect_timeout = timeout();
    options.keepalive_interval = Duration::zero();
    options.message_bytes_max = 10 * 1024;
    options.user_agent = "kube-probe/1.32";
    stream_ = http::grpc::OpenBidiStream(loop(), to, options, *this);
    HealthCheckRequest request;
    request.set_service(probe_.service);
    stream_->Send(request.SerializeAsString());
    stream_->EndSending();
  }
  void Release() override { stream_.reset(); }

  ProbeVerdict NotConnected() const {
    return {Kind::kFailure, absl::StrCat("timeout: failed to connect service \"",
                                         HostPort(probe_.host, probe_.port), "\" within ",
                                         SecondsInGo(timeout()), ": context deadline exceeded")};
  }
  ProbeVerdict TimedOut() override {
    if (!connected_) return NotConnected();
    return {Kind::kFailure,
            absl::StrCat("timeout: health rpc did not complete within ", SecondsInGo(timeout()))};
  }
  ProbeVerdict NotFound(const std::string&) override { return NotConnected(); }

  void OnConnected() override { connected_ = true; }
  void OnMessage(absl::string_view message) override {
    HealthCheckResponse response;
    if (response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      response_ = std::move(response);
    }
  }
  void OnEnded(absl::Status status) override {
    // gRPC goes on trying to connect until its time is over: what it says then is said at once.
    if (!connected_) return Finish(NotConnected());
    if (status.ok() && !response_.has_value()) status = absl::InternalError("no answer");
    if (status.code() == absl::StatusCode::kUnimplemented) {
      return Finish({Kind::kFailure,
                     absl::StrCat("error: this server does not implement the grpc health protocol "
                                  "(grpc.health.v1.Health): ",
                                  status.message())});
    }
    if (status.code() == absl::StatusCode::kDeadlineExceeded) return Finish(TimedOut());
    if (!status.ok()) {
      return Finish(
          {Kind::kFailure, absl::StrCat("error: health rpc probe failed: rpc error: code = ",
                                        GoCode(status.code()), " desc = ", status.message())});
    }
    if (response_->status() != HealthCheckResponse::SERVING) {
      return Finish(
          {Kind::kFailure,
           absl::StrCat("service unhealthy (responded with \"",
                        HealthCheckResponse::ServingStatus_Name(response_->status()), "\")")});
    }
    Finish({Kind::kSuccess, "service healthy"});
  }

  const GrpcProbe probe_;
  std::unique_ptr<http::grpc::BidiStream> stream_;
  bool connected_ = false;
  std::optional<HealthCheckResponse> response_;
};

}  // namespace

std::unique_ptr<Attempt> NewGrpcAttempt(AttemptOwner& owner, const GrpcProbe& probe,
                                        ProbeDone done) {
  return std::make_unique<GrpcAttempt>(owner, probe, std::move(done));
}

}  // namespace meltemi::kubelet
