// One call of a probe on the network prober's loop.
//
// Loop-owned.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/dns.h"
#include "base/tls/tls.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kubelet {

class Attempt;

class AttemptOwner {
 public:
  virtual ~AttemptOwner() = default;
  virtual Loop& loop() = 0;
  virtual std::shared_ptr<const tls::Context> context() = 0;
  virtual net::DnsResolver* resolver() = 0;  // null: this machine has none
  // Deletes it at the end of the turn.
  virtual void Ended(Attempt* attempt) = 0;
};

// From its start to its verdict or time-out.
class Attempt : public Deferrable {
 public:
  Attempt(AttemptOwner& owner, Duration timeout, ProbeDone done);
  // Arms the time-out, finds the address, and goes on with Connect.
  void Start();
  // Nothing is told any more.
  void Cancel();

 protected:
  virtual const std::string& host() const = 0;
  virtual uint16_t port() const = 0;
  virtual void Connect(const net::Address& to) = 0;
  // Ends what is under way; no callback of it follows.
  virtual void Release() = 0;
  virtual ProbeVerdict TimedOut() = 0;
  // The name is not known, or it is no address. `why`: Go's words.
  virtual ProbeVerdict NotFound(const std::string& why) = 0;

  void FindAddress();
  void Finish(ProbeVerdict verdict);
  Loop& loop() { return owner_.loop(); }
  AttemptOwner& owner() { return owner_; }
  Duration timeout() const { return timeout_; }
  bool ended() const { return done_ == nullptr; }

 private:
  AttemptOwner& owner_;
  const Duration timeout_;
  ProbeDone done_;
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<net::DnsQuery> query_;
};

std::unique_ptr<Attempt> NewHttpAttempt(AttemptOwner& owner, const HttpProbe& probe,
                                        ProbeDone done);
std::unique_ptr<Attempt> NewTcpAttempt(AttemptOwner& owner, const TcpProbe& probe, ProbeDone done);
std::unique_ptr<Attempt> NewGrpcAttempt(AttemptOwner& owner, const GrpcProbe& probe,
                                        ProbeDone done);

// "dial tcp 10.0.0.1:80: connect: connection refused".
std::string DialError(const net::Address& to, absl::string_view detail);

}  // namespace meltemi::kubelet
