#include "pilot/serve/ads_server.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace meltemi::pilot {
namespace {

namespace discovery = envoy::service::discovery::v3;

constexpr int kKeepaliveMillis = 30'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
constexpr auto kShutdownGrace = std::chrono::milliseconds(500);

bool ParseRequest(const grpc::ByteBuffer& buffer, discovery::DiscoveryRequest* request) {
  grpc::ByteBuffer copy = buffer;  // shares the slices
  return grpc::SerializationTraits<discovery::DiscoveryRequest>::Deserialize(&copy, request).ok();
}

class Stream;

// What streams and the server share. Thread-safe.
class StreamSet {
 public:
  StreamSet(Loop* loop, PushServer* push) : loop_(loop), push_(push) {}

  // Runs `work` on the loop, or destroys it unrun if the server closes before that.
  void Post(Loop::Callback work, const std::shared_ptr<StreamSet>& self) {
    loop_->Post([self, work = std::move(work)]() mutable {
      if (!self->closed()) work();
    });
  }
  // False when the server is closing.
  bool Add(Stream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    return !closed_ && streams_.insert(stream).second;
  }
  void Remove(Stream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    streams_.erase(stream);
  }
  std::set<Stream*> Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    return streams_;
  }
  bool closed() {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }
  PushServer& push() { return *push_; }

 private:
  Loop* const loop_;
  PushServer* const push_;
  std::mutex mutex_;
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// One stream. gRPC lets go of it with OnDone, which comes only after Finish. Finish is called once,
// on the loop, or by the server that closes while the loop stands still. What gRPC's threads posted
// runs before the deletion that OnDone posts.
class Stream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                     public Peer {
 public:
  Stream(std::shared_ptr<StreamSet> set, std::string address)
      : set_(std::move(set)), address_(std::move(address)) {
    if (!set_->Add(this)) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "meltemi-pilot is shutting down"));
      return;
    }
    Post([this] {
      id_ = set_->push().OnConnected(this);
      StartRead(&incoming_);
    });
  }

  // --- on gRPC's threads ---
  void OnReadDone(bool ok) override {
    Post([this, ok] {
      if (ended_) return;
      if (ok) {
        HandleRead();
      } else {
        End(grpc::Status::OK);
      }
    });
  }
  void OnWriteDone(bool ok) override {
    Post([this, ok] {
      if (!ended_ && ok) set_->push().OnWritten(id_);
    });
  }
  void OnDone() override {
    const std::shared_ptr<StreamSet> set = set_;
    set->Post([self = std::unique_ptr<Stream>(this)] {}, set);
  }

  // --- on the loop ---
  void Write(std::string bytes) override {
    auto* owned = new std::string(std::move(bytes));
    const grpc::Slice slice(
        owned->data(), owned->size(), [](void* p) { delete static_cast<std::string*>(p); }, owned);
    outgoing_ = grpc::ByteBuffer(&slice, 1);
    StartWrite(&outgoing_);
  }
  void Refuse(absl::string_view why) override { refusal_ = std::string(why); }
  std::string address() const override { return address_; }

  // Ends the stream and forgets it.
  void End(const grpc::Status& status) {
    if (ended_) return;
    ended_ = true;
    set_->push().OnClosed(id_);
    set_->Remove(this);
    Finish(status);
  }

 private:
  void Post(Loop::Callback work) { set_->Post(std::move(work), set_); }

  void HandleRead() {
    discovery::DiscoveryRequest request;
    if (!ParseRequest(incoming_, &request)) {
      End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "not a DiscoveryRequest"));
      return;
    }
    set_->push().OnRequest(id_, request);
    if (!refusal_.empty()) {
      End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, refusal_));
      return;
    }
    StartRead(&incoming_);
  }

  const std::shared_ptr<StreamSet> set_;
  const std::string address_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  // Loop-owned.
  ClientId id_ = 0;
  bool ended_ = false;
  std::string refusal_;
};

using BaseService =
    discovery::AggregatedDiscoveryService::WithRawCallbackMethod_StreamAggregatedResources<
        discovery::AggregatedDiscoveryService::WithCallbackMethod_DeltaAggregatedResources<
            discovery::AggregatedDiscoveryService::Service>>;

class Service final : public BaseService {
 public:
  explicit Service(std::shared_ptr<StreamSet> set) : set_(std::move(set)) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamAggregatedResources(
      grpc::CallbackServerContext* context) override {
    return new Stream(set_, context->peer());
  }

 private:
  const std::shared_ptr<StreamSet> set_;
};

class GrpcAdsServer final : public AdsServer {
 public:
  GrpcAdsServer(Loop* loop, PushServer* push)
      : set_(std::make_shared<StreamSet>(loop, push)), service_(set_) {}

  ~GrpcAdsServer() override {
    if (server_ == nullptr) return;
    for (Stream* stream : set_->Close()) {
      stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "meltemi-pilot is shutting down"));
    }
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    server_->Wait();
  }

  absl::Status Listen(const Options& options) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(options.request_bytes_max);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options.address,
                       " for xDS: is the port taken? Choose another with --xds-address"));
    }
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  const std::shared_ptr<StreamSet> set_;
  Service service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AdsServer>> AdsServer::Start(Loop* loop, PushServer* push,
                                                            const Options& options) {
  auto server = std::make_unique<GrpcAdsServer>(loop, push);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::pilot
