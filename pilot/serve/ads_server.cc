#include "pilot/serve/ads_server.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/grpc/server.h"
#include "base/log/log.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/caller.h"
#include "pilot/push/push_server.h"

namespace meltemi::pilot {
namespace {

namespace grpc = http::grpc;
namespace discovery = envoy::service::discovery::v3;

constexpr char kService[] = "/envoy.service.discovery.v3.AggregatedDiscoveryService/";

// What streams need of their server. Streams that wait for an authenticator may outlive it.
struct Serving {
  Loop& loop;
  PushServer& push;
  CallAuthenticator* const authenticator;
};

// Waiting for the authenticator -> open -> ended.
template <typename Request>
class Stream final : public grpc::CallHandler, public Peer {
 public:
  Stream(const Serving& serving, grpc::ServerCall& call)
      : serving_(serving), call_(call), address_(call.remote().ToString()) {
    if (serving_.authenticator == nullptr) {
      id_ = serving_.push.OnConnected(this);
      return;
    }
    call_.PauseReading(true);
    // The answer comes on any thread, and may come when the stream is gone.
    serving_.authenticator->Authenticate(
        std::string(BearerToken(call.metadata().Get("authorization"))),
        [&loop = serving_.loop, alive = std::weak_ptr<Stream*>(self_)](auto caller) {
          loop.Post([alive, caller = std::move(caller)]() mutable {
            if (const auto stream = alive.lock()) (*stream)->OnCaller(std::move(caller));
          });
        });
  }

  // --- Peer
  void Write(Message message) override {
    std::vector<grpc::Piece> pieces = std::move(message.shared);
    pieces.push_back(std::make_shared<const std::string>(std::move(message.own)));
    call_.Send(std::move(pieces));
  }
  // Not at once: the caller is in the middle of something.
  void Refuse(const absl::Status& why) override {
    refused_ = true;
    serving_.loop.Post([alive = std::weak_ptr<Stream*>(self_), why] {
      const auto stream = alive.lock();
      if (stream == nullptr || (*stream)->ended_) return;
      (*stream)->call_.Cut(why);
      (*stream)->OnGone();
    });
  }
  std::string address() const override { return address_; }
  const Caller* caller() const override { return caller_.has_value() ? &*caller_ : nullptr; }

 private:
  // --- grpc::CallHandler
  void OnMessage(absl::string_view message) override {
    Request request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      call_.Cut(absl::InvalidArgumentError(absl::StrCat("not a ", Request::descriptor()->name())));
      return OnGone();
    }
    const Duration wait = serving_.push.OnRequest(id_, request);
    if (wait == Duration::zero()) return;
    call_.PauseReading(true);
    if (read_later_ == nullptr) {
      read_later_ = serving_.loop.NewTimer([this] {
        if (!ended_) call_.PauseReading(false);
      });
    }
    read_later_->Arm(wait);
  }
  void OnMessagesEnd() override {
    if (refused_) return;
    call_.End(absl::OkStatus());
    OnGone();
  }
  void OnSent() override { serving_.push.OnWritten(id_); }
  void OnGone() override {
    if (std::exchange(ended_, true)) return;
    if (id_ != 0) serving_.push.OnClosed(id_);
  }

  void OnCaller(absl::StatusOr<Caller> caller) {
    if (ended_) return;
    if (!caller.ok()) {
      LOG(kWarn, "serve", address_, ": ", caller.status().message());
      call_.End(caller.status());
      return OnGone();
    }
    caller_ = *std::move(caller);
    id_ = serving_.push.OnConnected(this);
    call_.PauseReading(false);
  }

  const Serving serving_;
  grpc::ServerCall& call_;
  const std::string address_;
  // Lives as long as the stream.
  const std::shared_ptr<Stream*> self_ = std::make_shared<Stream*>(this);
  std::optional<Caller> caller_;
  ClientId id_ = 0;       // 0: not begun
  bool refused_ = false;  // and ends soon
  bool ended_ = false;
  std::unique_ptr<Timer> read_later_;
};

absl::StatusOr<std::shared_ptr<const tls::Context>> ContextFor(const tls::KeyPair& identity) {
  tls::ServerOptions options;
  options.identity = identity;
  options.alpn = {"h2"};
  return tls::NewServerContext(options);
}

class GrpcAdsServer final : public AdsServer {
 public:
  explicit GrpcAdsServer(std::unique_ptr<grpc::Server> server) : server_(std::move(server)) {}

  template <typename Request>
  void Add(const char* method, const Serving& serving) {
    server_->Add(absl::StrCat(kService, method), [serving](grpc::ServerCall& call) {
      return std::make_unique<Stream<Request>>(serving, call);
    });
  }

  absl::Status SetIdentity(const tls::KeyPair& identity) override {
    absl::StatusOr<std::shared_ptr<const tls::Context>> context = ContextFor(identity);
    if (!context.ok()) return context.status();
    server_->SetTls(*std::move(context));
    return absl::OkStatus();
  }
  grpc::Server& server() override { return *server_; }
  int port() const override { return server_->address().port(); }

 private:
  const std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdsServer>> AdsServer::Start(Loop* loop, PushServer* push,
                                                            const Options& options) {
  const absl::StatusOr<net::Address> address = net::Address::Parse(options.address);
  if (!address.ok()) return address.status();
  grpc::ServerOptions server_options;
  server_options.message_bytes_max = options.request_bytes_max;
  if (options.identity != nullptr) {
    auto context = ContextFor(*options.identity);
    if (!context.ok()) return context.status();
    server_options.tls = *std::move(context);
  }
  auto server = grpc::Listen(*loop, *address, server_options);
  if (!server.ok()) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", options.address, " for xDS (", server.status().message(),
                     "): is the port taken? Choose another with --xds-address"));
  }
  auto ads = std::make_unique<GrpcAdsServer>(*std::move(server));
  const Serving serving = {*loop, *push, options.authenticator};
  ads->Add<discovery::DiscoveryRequest>("StreamAggregatedResources", serving);
  ads->Add<discovery::DeltaDiscoveryRequest>("DeltaAggregatedResources", serving);
  return ads;
}

}  // namespace meltemi::pilot
