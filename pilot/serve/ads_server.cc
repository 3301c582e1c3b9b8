#include "pilot/serve/ads_server.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "envoy/service/discovery/v3/ads.grpc.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/caller.h"

namespace meltemi::pilot {
namespace {

namespace discovery = envoy::service::discovery::v3;

constexpr int kKeepaliveMillis = 30'000;
constexpr int kKeepaliveTimeoutMillis = 10'000;
constexpr auto kShutdownGrace = std::chrono::milliseconds(500);

template <typename Request>
bool ParseRequest(const grpc::ByteBuffer& buffer, Request* request) {
  grpc::ByteBuffer copy = buffer;  // shares the slices
  return grpc::SerializationTraits<Request>::Deserialize(&copy, request).ok();
}

// What is shared stays where it is: the slices hold on to it.
grpc::ByteBuffer BufferOf(Message message) {
  std::vector<grpc::Slice> slices;
  slices.reserve(message.shared.size() + 1);
  for (Chunk& chunk : message.shared) {
    auto* held = new Chunk(std::move(chunk));
    slices.emplace_back(
        const_cast<char*>((*held)->data()), (*held)->size(),
        [](void* p) { delete static_cast<Chunk*>(p); }, held);
  }
  auto* own = new std::string(std::move(message.own));
  slices.emplace_back(
      own->data(), own->size(), [](void* p) { delete static_cast<std::string*>(p); }, own);
  return {slices.data(), slices.size()};
}

std::string TokenOf(const grpc::CallbackServerContext& context) {
  const auto it = context.client_metadata().find("authorization");
  if (it == context.client_metadata().end()) return "";
  return std::string(BearerToken({it->second.data(), it->second.size()}));
}

grpc::Status StatusOf(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()),
          std::string(status.message().data(), status.message().size())};
}

// A stream as the server that closes sees it.
class AnyStream {
 public:
  virtual ~AnyStream() = default;
  virtual void End(const grpc::Status& status) = 0;
};

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
  bool Add(AnyStream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    return !closed_ && streams_.insert(stream).second;
  }
  void Remove(AnyStream* stream) {
    std::lock_guard<std::mutex> lock(mutex_);
    streams_.erase(stream);
  }
  std::set<AnyStream*> Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    return streams_;
  }
  bool closed() {
    std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }
  PushServer& push() { return *push_; }
  Loop& loop() { return *loop_; }

 private:
  Loop* const loop_;
  PushServer* const push_;
  std::mutex mutex_;
  std::set<AnyStream*> streams_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// One stream. gRPC lets go of it with OnDone, which comes only after Finish. Finish is called once,
// on the loop, or by the server that closes while the loop stands still. What gRPC's threads posted
// runs before the deletion that OnDone posts.
template <typename Request>
class Stream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                     public Peer,
                     public AnyStream {
 public:
  Stream(std::shared_ptr<StreamSet> set, grpc::CallbackServerContext* context,
         CallAuthenticator* authenticator)
      : set_(std::move(set)), context_(context), address_(context->peer()) {
    if (!set_->Add(this)) {
      Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "meltemi-pilot is shutting down"));
      return;
    }
    if (authenticator == nullptr) {
      Post([this] { Begin(); });
      return;
    }
    // The answer may come when the stream is gone.
    authenticator->Authenticate(TokenOf(*context),
                                [set = set_, alive = std::weak_ptr<Stream*>(self_)](auto caller) {
                                  set->Post(
                                      [alive, caller = std::move(caller)]() mutable {
                                        if (const auto stream = alive.lock())
                                          (*stream)->OnCaller(std::move(caller));
                                      },
                                      set);
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
      writing_ = false;
      if (!ended_ && ok) set_->push().OnWritten(id_);
    });
  }
  void OnDone() override {
    const std::shared_ptr<StreamSet> set = set_;
    set->Post([self = std::unique_ptr<Stream>(this)] {}, set);
  }

  // --- on the loop ---
  void Write(Message message) override {
    outgoing_ = BufferOf(std::move(message));
    writing_ = true;
    StartWrite(&outgoing_);
  }
  // Not at once: the caller is in the middle of something.
  void Refuse(const absl::Status& why) override {
    Post([this, why] { End(StatusOf(why)); });
  }
  std::string address() const override { return address_; }
  const Caller* caller() const override { return caller_.has_value() ? &*caller_ : nullptr; }

  // Ends the stream and forgets it.
  void End(const grpc::Status& status) override {
    if (ended_) return;
    ended_ = true;
    // A status would wait behind what the client does not read.
    if (writing_ && !status.ok()) context_->TryCancel();
    if (id_ != 0) set_->push().OnClosed(id_);
    set_->Remove(this);
    Finish(status);
  }

 private:
  void Post(Loop::Callback work) { set_->Post(std::move(work), set_); }

  void Begin() {
    id_ = set_->push().OnConnected(this);
    StartRead(&incoming_);
  }

  void OnCaller(absl::StatusOr<Caller> caller) {
    if (ended_) return;
    if (!caller.ok()) {
      LOG(kWarn, "serve", address_, ": ", caller.status().message());
      End(StatusOf(caller.status()));
      return;
    }
    caller_ = *std::move(caller);
    Begin();
  }

  void HandleRead() {
    Request request;
    if (!ParseRequest(incoming_, &request)) {
      End(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                       absl::StrCat("not a ", Request::descriptor()->name())));
      return;
    }
    const Duration wait = set_->push().OnRequest(id_, request);
    if (wait == Duration::zero()) return StartRead(&incoming_);
    if (read_later_ == nullptr) {
      read_later_ = set_->loop().NewTimer([this] {
        if (!ended_) StartRead(&incoming_);
      });
    }
    read_later_->Arm(wait);
  }

  const std::shared_ptr<StreamSet> set_;
  grpc::CallbackServerContext* const context_;
  const std::string address_;
  // Lives as long as the stream.
  const std::shared_ptr<Stream*> self_ = std::make_shared<Stream*>(this);
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  // Loop-owned.
  std::optional<Caller> caller_;
  ClientId id_ = 0;  // 0: not begun
  bool writing_ = false;
  bool ended_ = false;
  std::unique_ptr<Timer> read_later_;
};

using BaseService =
    discovery::AggregatedDiscoveryService::WithRawCallbackMethod_StreamAggregatedResources<
        discovery::AggregatedDiscoveryService::WithRawCallbackMethod_DeltaAggregatedResources<
            discovery::AggregatedDiscoveryService::Service>>;

class Service final : public BaseService {
 public:
  Service(std::shared_ptr<StreamSet> set, CallAuthenticator* authenticator)
      : set_(std::move(set)), authenticator_(authenticator) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamAggregatedResources(
      grpc::CallbackServerContext* context) override {
    return new Stream<discovery::DiscoveryRequest>(set_, context, authenticator_);
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DeltaAggregatedResources(
      grpc::CallbackServerContext* context) override {
    return new Stream<discovery::DeltaDiscoveryRequest>(set_, context, authenticator_);
  }

 private:
  const std::shared_ptr<StreamSet> set_;
  CallAuthenticator* const authenticator_;
};

class GrpcAdsServer final : public AdsServer {
 public:
  GrpcAdsServer(Loop* loop, PushServer* push, CallAuthenticator* authenticator)
      : set_(std::make_shared<StreamSet>(loop, push)), service_(set_, authenticator) {}

  ~GrpcAdsServer() override {
    if (server_ == nullptr) return;
    for (AnyStream* stream : set_->Close()) {
      stream->End(grpc::Status(grpc::StatusCode::UNAVAILABLE, "meltemi-pilot is shutting down"));
    }
    server_->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    server_->Wait();
  }

  absl::Status Listen(const Options& options) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(
        options.address,
        options.credentials == nullptr ? grpc::InsecureServerCredentials() : options.credentials,
        &port_);
    builder.SetMaxReceiveMessageSize(options.request_bytes_max);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.RegisterService(&service_);
    for (grpc::Service* service : options.services) builder.RegisterService(service);
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
  auto server = std::make_unique<GrpcAdsServer>(loop, push, options.authenticator);
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::pilot
