#include "orchestrator/kubelet/probes/attempts.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/net/connection.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using Kind = ProbeVerdict::Kind;

class TcpAttempt final : public Attempt, private net::ConnectionHandler {
 public:
  TcpAttempt(AttemptOwner& owner, const TcpProbe& probe, ProbeDone done)
      : Attempt(owner, probe.timeout, std::move(done)), probe_(probe) {}
  ~TcpAttempt() override { Release(); }

 private:
  const std::string& host() const override { return probe_.host; }
  uint16_t port() const override { return probe_.port; }
  void Connect(const net::Address& to) override {
    to_ = to;
    connection_ = net::NewClientConnection(loop(), to, net::Address(), net::ConnectionLimits());
    connection_->SetHandler(this);
  }
  void Release() override {
    if (connection_ == nullptr) return;
    connection_->SetHandler(nullptr);
    loop().DeferDelete(std::move(connection_));
  }
  ProbeVerdict TimedOut() override {
    return {Kind::kFailure,
            absl::StrCat("dial tcp ", HostPort(probe_.host, probe_.port), ": i/o timeout")};
  }
  ProbeVerdict NotFound(const std::string& why) override {
    return {Kind::kFailure, absl::StrCat("dial tcp: ", why)};
  }
  void OnConnected() override { Finish({Kind::kSuccess, ""}); }
  void OnRead(Buffer&, bool) override {}
  void OnClosed(net::CloseCause, absl::string_view detail) override {
    Finish({Kind::kFailure, DialError(to_, detail)});
  }

  const TcpProbe probe_;
  net::Address to_;
  std::unique_ptr<net::Connection> connection_;
};

}  // namespace

Attempt::Attempt(AttemptOwner& owner, Duration timeout, ProbeDone done)
    : owner_(owner), timeout_(timeout), done_(std::move(done)) {}

void Attempt::Start() {
  timer_ = loop().NewTimer([this] { Finish(TimedOut()); });
  timer_->Arm(timeout_);
  FindAddress();
}

void Attempt::FindAddress() {
  if (const absl::StatusOr<net::Address> literal = net::Address::FromIp(host(), port());
      literal.ok()) {
    return Connect(*literal);
  }
  net::DnsResolver* const resolver = owner_.resolver();
  if (resolver == nullptr) {
    return Finish(NotFound(absl::StrCat("lookup ", host(), ": no such host")));
  }
  query_ = resolver->Resolve(
      host(), net::DnsFamily::kV4Preferred, [this](absl::StatusOr<net::DnsAnswer> answer) {
        if (!answer.ok() || answer->addresses.empty()) {
          return Finish(NotFound(absl::StrCat("lookup ", host(), ": no such host")));
        }
        net::Address to = answer->addresses.front();
        to.set_port(port());
        Connect(to);
      });
}

void Attempt::Cancel() {
  done_ = nullptr;
  if (timer_ != nullptr) timer_->Disarm();
  query_.reset();
  Release();
}

void Attempt::Finish(ProbeVerdict verdict) {
  if (done_ == nullptr) return;
  const ProbeDone done = std::exchange(done_, nullptr);
  timer_->Disarm();
  // The query's own callback may be under way: it goes with the attempt.
  Release();
  done(std::move(verdict));
  owner_.Ended(this);
}

std::unique_ptr<Attempt> NewTcpAttempt(AttemptOwner& owner, const TcpProbe& probe, ProbeDone done) {
  return std::make_unique<TcpAttempt>(owner, probe, std::move(done));
}

std::string DialError(const net::Address& to, absl::string_view detail) {
  return absl::StrCat("dial tcp ", to.ToString(), ": connect: ", absl::AsciiStrToLower(detail));
}

}  // namespace meltemi::kubelet
