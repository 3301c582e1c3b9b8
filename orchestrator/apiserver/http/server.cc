#include "orchestrator/apiserver/http/server.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log/log.h"
#include "base/net/listener.h"
#include "orchestrator/apiserver/http/http_connection.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {
namespace {

constexpr Duration kIdleThreadMax = seconds(10);
// For those whom the in-flight limiter does not count, or is about to refuse.
constexpr size_t kExtraThreads = 200;

size_t ThreadsMax(const ServerOptions& options) {
  const size_t counted = options.reads_in_flight_max + options.writes_in_flight_max;
  return counted + counted / 4 + kExtraThreads;
}

// One loop, its thread and its connections.
class ServerLoop {
 public:
  explicit ServerLoop(ServerShared& shared)
      : loop_(NewEventLoop(shared.clock)),
        context_{.shared = shared, .loop = *loop_},
        connections_(context_) {}
  ~ServerLoop() { Join(); }

  Loop& loop() { return *loop_; }
  size_t connections() const { return context_.connections.load(std::memory_order_relaxed); }
  void Start() {
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void Accept(int fd, const net::Address& remote) {
    loop_->Post([this, fd, remote] {
      if (context_.draining) {
        close(fd);
        return;
      }
      connections_.Accept(fd, remote);
    });
  }
  void Drain() {
    loop_->Post([this] {
      context_.draining = true;
      connections_.Drain();
    });
  }
  // Ends every connection, and runs `then` on the loop.
  void CloseNow(Loop::Callback then) {
    loop_->Post([this, then = std::move(then)]() mutable {
      connections_.CloseNow();
      then();
    });
  }
  void Join() {
    if (!thread_.joinable()) return;
    loop_->Exit();
    thread_.join();
  }

 private:
  const std::unique_ptr<Loop> loop_;
  LoopContext context_;
  ConnectionSet connections_;
  std::thread thread_;
};

class HttpServer final : public Server {
 public:
  HttpServer(const ServerOptions& options, const Clock& clock, Handler& handler, WatchHub& hub,
             std::shared_ptr<const tls::Context> tls)
      : shared_{.options = options,
                .clock = clock,
                .handler = handler,
                .hub = hub,
                .tls = std::move(tls),
                .pool = std::make_unique<HandlerPool>(ThreadsMax(options), kIdleThreadMax)} {
    for (int i = 0; i < std::max(options.loops, 1); ++i) {
      loops_.push_back(std::make_unique<ServerLoop>(shared_));
    }
  }
  ~HttpServer() override { Stop(Duration(0)); }

  absl::Status Listen() {
    auto listener =
        net::Listen(loops_[0]->loop(), shared_.options.address, net::ListenOptions(),
                    [this](int fd, const net::Address& remote) { OnAccept(fd, remote); });
    stopped_ = !listener.ok();
    if (stopped_) return listener.status();
    listener_ = *std::move(listener);
    address_ = listener_->address();
    for (const auto& loop : loops_) loop->Start();
    return absl::OkStatus();
  }

  const net::Address& address() const override { return address_; }

  void Stop(Duration drain_max) override {
    if (stopped_) return;
    stopped_ = true;
    if (listener_ != nullptr) {
      loops_[0]->loop().Post([this] { loops_[0]->loop().DeferDelete(std::move(listener_)); });
    }
    for (const auto& loop : loops_) loop->Drain();
    WaitUntilEmpty(drain_max);
    for (const auto& loop : loops_) {
      Promise closed;
      loop->CloseNow([&closed] { closed.Set(); });
      closed.Wait();
    }
    // Handlers that nobody waits for any more.
    shared_.pool.reset();
    for (const auto& loop : loops_) loop->Join();
  }

 private:
  class Promise {
   public:
    void Set() {
      const std::lock_guard<std::mutex> lock(mutex_);
      set_ = true;
      changed_.notify_all();
    }
    void Wait() {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return set_; });
    }

   private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool set_ = false;
  };

  // Connections are spread by their number, because each may stay for hours.
  void OnAccept(int fd, const net::Address& remote) {
    if (shared_.connections.load(std::memory_order_relaxed) >= shared_.options.connections_max) {
      LOG(kWarn, "http", "a connection from ", remote.ToString(), " is refused: there are ",
          shared_.options.connections_max, " already");
      close(fd);
      return;
    }
    ServerLoop* least = loops_[next_++ % loops_.size()].get();
    for (const auto& loop : loops_) {
      if (loop->connections() < least->connections()) least = loop.get();
    }
    least->Accept(fd, remote);
  }

  void WaitUntilEmpty(Duration drain_max) {
    std::unique_lock<std::mutex> lock(shared_.mutex);
    shared_.no_connections.wait_for(lock, drain_max,
                                    [this] { return shared_.connections.load() == 0; });
  }

  ServerShared shared_;
  std::vector<std::unique_ptr<ServerLoop>> loops_;
  std::unique_ptr<net::Listener> listener_;  // belongs to the first loop
  net::Address address_;
  size_t next_ = 0;  // of the first loop
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerOptions& options,
                                                    const Clock& clock, Handler& handler,
                                                    WatchHub& hub) {
  absl::StatusOr<std::shared_ptr<const tls::Context>> tls = tls::NewServerContext(options.tls);
  if (!tls.ok()) return tls.status();
  auto server = std::make_unique<HttpServer>(options, clock, handler, hub, *std::move(tls));
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::apiserver
