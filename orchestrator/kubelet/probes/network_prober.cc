#include "orchestrator/kubelet/probes/network_prober.h"

#include <map>
#include <optional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/net/dns.h"
#include "base/tls/tls.h"
#include "orchestrator/kubelet/probes/attempts.h"

namespace meltemi::kubelet {
namespace {

class LoopNetworkProber final : public NetworkProber, private AttemptOwner {
 public:
  explicit LoopNetworkProber(const Clock& clock) : loop_(NewEventLoop(clock)) {
    tls::ClientOptions options;
    options.peer = tls::PeerCertificate::kNone;
    options.alpn = {"http/1.1"};
    if (auto context = tls::NewClientContext(options); context.ok()) context_ = *context;
    thread_ = std::thread([this] { loop_->Run(); });
  }
  ~LoopNetworkProber() override {
    loop_->Post([this] {
      for (auto& [key, attempt] : attempts_) attempt->Cancel();
      for (auto& [key, attempt] : attempts_) loop_->DeferDelete(std::move(attempt));
      attempts_.clear();
      loop_->Exit();
    });
    thread_.join();
    loop_->RunOnce(Duration::zero());
  }

  void Http(const HttpProbe& probe, ProbeDone done) override {
    Begin([this, probe, done = std::move(done)]() mutable {
      return NewHttpAttempt(*this, probe, std::move(done));
    });
  }
  void Tcp(const TcpProbe& probe, ProbeDone done) override {
    Begin([this, probe, done = std::move(done)]() mutable {
      return NewTcpAttempt(*this, probe, std::move(done));
    });
  }
  void Grpc(const GrpcProbe& probe, ProbeDone done) override {
    Begin([this, probe, done = std::move(done)]() mutable {
      return NewGrpcAttempt(*this, probe, std::move(done));
    });
  }

 private:
  void Begin(absl::AnyInvocable<std::unique_ptr<Attempt>()> make) {
    loop_->Post([this, make = std::move(make)]() mutable {
      std::unique_ptr<Attempt> attempt = make();
      Attempt* const raw = attempt.get();
      attempts_.emplace(raw, std::move(attempt));
      raw->Start();
    });
  }

  Loop& loop() override { return *loop_; }
  std::shared_ptr<const tls::Context> context() override { return context_; }
  net::DnsResolver* resolver() override {
    if (resolver_ == nullptr) {
      if (auto made = net::NewDnsResolver(*loop_, {}); made.ok()) resolver_ = *std::move(made);
    }
    return resolver_.get();
  }
  void Ended(Attempt* attempt) override {
    const auto it = attempts_.find(attempt);
    if (it == attempts_.end()) return;
    loop_->DeferDelete(std::move(it->second));
    attempts_.erase(it);
  }

  const std::unique_ptr<Loop> loop_;
  std::shared_ptr<const tls::Context> context_;
  // The loop's.
  std::unique_ptr<net::DnsResolver> resolver_;
  std::map<Attempt*, std::unique_ptr<Attempt>> attempts_;

  std::thread thread_;
};

}  // namespace

std::unique_ptr<NetworkProber> NewNetworkProber(const Clock& clock) {
  return std::make_unique<LoopNetworkProber>(clock);
}

}  // namespace meltemi::kubelet
