// Real loops, threads and sockets: what workers share is right, and clean under TSan.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "base/net/listener.h"
#include "gtest/gtest.h"
#include "proxy/upstream/cluster/directory.h"
#include "proxy/upstream/upstream_fake.h"

namespace meltemi::proxy {
namespace {

constexpr int kWorkers = 2;
constexpr int kRequestsPerWorker = 400;

// Runs a loop on a thread of its own.
class LoopThread {
 public:
  LoopThread() : loop_(NewEventLoop(clock_)), thread_([this] { loop_->Run(); }) {}
  ~LoopThread() {
    loop_->Exit();
    thread_.join();
  }
  Loop& loop() { return *loop_; }
  // Runs `work` on the loop and waits for it. A standard mutex: sanitizers see through it.
  void Call(absl::AnyInvocable<void()> work) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    loop_->Post([&] {
      work();
      const std::lock_guard<std::mutex> lock(mutex);
      done = true;
      changed.notify_one();
    });
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return done; });
  }

 private:
  SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

// Answers each request head with a status; counts them.
class Backend {
 public:
  Backend(LoopThread& thread, int status) : thread_(thread) {
    answer_ = "HTTP/1.1 " + std::to_string(status) + " X\r\ncontent-length: 0\r\n\r\n";
    thread_.Call([this] {
      auto listener =
          net::Listen(thread_.loop(), net::Address::Loopback4(0), {},
                      [this](int fd, const net::Address& remote) {
                        sessions_.push_back(std::make_unique<Session>(*this, fd, remote));
                      });
      ASSERT_TRUE(listener.ok()) << listener.status();
      listener_ = *std::move(listener);
      address_ = listener_->address();
    });
  }
  ~Backend() {
    thread_.Call([this] {
      listener_.reset();
      sessions_.clear();
    });
  }
  const net::Address& address() const { return address_; }
  int requests() const { return requests_.load(); }

 private:
  struct Session final : net::ConnectionHandler {
    Session(Backend& owner, int fd, const net::Address& remote)
        : owner(owner), connection(net::NewServerConnection(owner.thread_.loop(), fd, remote, {})) {
      connection->SetHandler(this);
    }
    void OnRead(Buffer& in, bool) override {
      received += in.ToString();
      in.Clear();
      for (size_t end; (end = received.find("\r\n\r\n")) != std::string::npos;) {
        received.erase(0, end + 4);
        ++owner.requests_;
        connection->output().Append(owner.answer_);
        connection->FlushSoon();
      }
    }
    void OnClosed(net::CloseCause, absl::string_view) override {}
    Backend& owner;
    std::unique_ptr<net::Connection> connection;
    std::string received;
  };
  LoopThread& thread_;
  std::string answer_;
  std::unique_ptr<net::Listener> listener_;
  std::vector<std::unique_ptr<Session>> sessions_;
  net::Address address_;
  std::atomic<int> requests_{0};
};

// One worker with a few requests at a time until its share is done.
class Client final : public AttemptEvents {
 public:
  Client(WorkerClusters& clusters, Loop& loop, std::atomic<int>& left)
      : clusters_(clusters), loop_(loop), left_(left) {
    request_->set_method("GET");
    request_->set_path("/");
    request_->set_authority("shop");
    request_->set_scheme("http");
  }
  void Next() {
    if (attempt_ != nullptr) loop_.DeferDelete(std::move(attempt_));
    if (left_.fetch_sub(1) <= 0) return;
    WorkerCluster* cluster = clusters_.Find("shop");
    ASSERT_NE(cluster, nullptr);
    AttemptOptions options;
    options.headers = request_.get();
    options.end_stream = true;
    attempt_ = cluster->Start(options, *this);
  }
  void OnAttemptInformational(http::HeaderMapPtr) override {}
  void OnAttemptHeaders(http::HeaderMapPtr headers, bool end_stream) override {
    ++(headers->status() == 200 ? good : bad);
    if (end_stream) Next();
  }
  void OnAttemptData(Buffer& data, bool) override { data.Clear(); }
  void OnAttemptTrailers(http::HeaderMapPtr) override {}
  void OnAttemptFailed(StreamError error, absl::string_view) override {
    ++(error == StreamError::kOverflow ? overflows : failures);
    Next();
  }
  void OnAttemptWriteBlocked(bool) override {}

  int good = 0, bad = 0, overflows = 0, failures = 0;

 private:
  WorkerClusters& clusters_;
  Loop& loop_;
  std::atomic<int>& left_;
  http::HeaderMapPtr request_ = http::HeaderMap::New();
  std::unique_ptr<Attempt> attempt_;
};

class WorkersTest : public ::testing::Test {
 protected:
  struct Worker {
    LoopThread thread;
    FastRandom random;
    std::unique_ptr<WorkerClusters> clusters;
    std::vector<std::unique_ptr<Client>> clients;
    std::atomic<int> left{kRequestsPerWorker};
  };

  WorkersTest() {
    main_.Call(
        [this] { directory_ = NewClusterDirectory(main_.loop(), random_, dns_, registry_); });
    for (int i = 0; i < kWorkers; ++i) {
      auto worker = std::make_unique<Worker>();
      metrics::Shard& shard = registry_.NewShard();
      worker->thread.Call([&] {});
      main_.Call([&] {
        worker->clusters = directory_->NewWorker(worker->thread.loop(), worker->random, shard);
      });
      workers_.push_back(std::move(worker));
    }
  }
  ~WorkersTest() override {
    for (auto& worker : workers_) {
      worker->thread.Call([&] {
        worker->clients.clear();
        worker->clusters.reset();
      });
    }
    main_.Call([this] { directory_.reset(); });
  }
  void Publish(const ClusterConfig& config, const std::vector<net::Address>& hosts) {
    main_.Call([&] {
      std::vector<EndpointConfig> endpoints;
      for (const net::Address& address : hosts) {
        endpoints.push_back(TestEndpoint(address.ToString()));
      }
      directory_->SetCluster(std::make_shared<ClusterConfig>(config), TestEndpoints(endpoints));
      directory_->Publish();
    });
  }
  // All workers send their requests, `clients` at a time each.
  void Run(int clients) {
    for (auto& worker : workers_) {
      worker->thread.Call([&] {
        for (int i = 0; i < clients; ++i) {
          worker->clients.push_back(
              std::make_unique<Client>(*worker->clusters, worker->thread.loop(), worker->left));
          worker->clients.back()->Next();
        }
      });
    }
  }
  void WaitForAll(int clients) {
    for (auto& worker : workers_) {
      // Each client takes one more than there is and stops.
      while (worker->left.load() > -clients) std::this_thread::yield();
      worker->thread.Call([] {});
    }
  }
  // As Run and WaitForAll, after those have ended.
  void RunAgain(int clients) {
    for (auto& worker : workers_) worker->left.store(kRequestsPerWorker);
    Run(clients);
    WaitForAll(clients);
  }
  int Sum(int Client::*count) {
    int sum = 0;
    for (auto& worker : workers_) {
      for (auto& client : worker->clients) sum += (*client).*count;
    }
    return sum;
  }
  int64_t Stat(const std::string& name) { return registry_.Sum("envoy_cluster_" + name); }

  metrics::Registry registry_;
  FastRandom random_;
  FakeDnsResolver dns_;
  LoopThread main_, backend_thread_;
  std::unique_ptr<ClusterDirectory> directory_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(WorkersTest, EveryRequestIsAnsweredWhileEndpointsComeAndGo) {
  Backend one(backend_thread_, 200), two(backend_thread_, 200);
  ClusterConfig config;
  config.name = "shop";
  Publish(config, {one.address()});
  Run(4);
  while (workers_[0]->left.load() > kRequestsPerWorker / 2) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) {
    Publish(config, {two.address()});
    Publish(config, {one.address(), two.address()});
    Publish(config, {one.address()});
  }
  WaitForAll(4);
  EXPECT_EQ(Sum(&Client::good), kWorkers * kRequestsPerWorker);
  EXPECT_EQ(Sum(&Client::failures) + Sum(&Client::bad) + Sum(&Client::overflows), 0);
  EXPECT_EQ(one.requests() + two.requests(), kWorkers * kRequestsPerWorker);
  EXPECT_EQ(Stat("upstream_rq_total"), kWorkers * kRequestsPerWorker);
  EXPECT_EQ(Stat("upstream_rq_active"), 0);
}

TEST_F(WorkersTest, ABreakerHoldsOverAllWorkersAndDrainsToZero) {
  Backend one(backend_thread_, 200);
  ClusterConfig config;
  config.name = "shop";
  config.breakers_default.connections_max = 1;
  config.breakers_default.pending_requests_max = 1;
  config.requests_per_connection_max = 1;
  Publish(config, {one.address()});
  Run(3);
  WaitForAll(3);
  EXPECT_GT(Sum(&Client::overflows), 0);
  EXPECT_GT(Sum(&Client::good), 0);
  EXPECT_EQ(Sum(&Client::failures), 0);
  EXPECT_EQ(Sum(&Client::good) + Sum(&Client::overflows), kWorkers * kRequestsPerWorker);
  EXPECT_EQ(Stat("upstream_rq_pending_overflow"), Sum(&Client::overflows));
  EXPECT_EQ(Stat("upstream_rq_pending_active"), 0);
  main_.Call([this] { directory_->RefreshStats(); });
  EXPECT_EQ(Stat("circuit_breakers_default_remaining_pending"), 1);
}

TEST_F(WorkersTest, AnEjectionByOneWorkerHoldsForAll) {
  Backend good(backend_thread_, 200), bad(backend_thread_, 500);
  ClusterConfig config;
  config.name = "shop";
  config.outlier.emplace();
  config.outlier->consecutive_5xx = 3;
  config.outlier->ejection_percent_max = 50;
  config.panic_threshold_percent = 0;
  Publish(config, {good.address(), bad.address()});
  Run(2);
  WaitForAll(2);
  EXPECT_EQ(Stat("outlier_detection_ejections_active"), 1);
  const int bad_before = Sum(&Client::bad);
  EXPECT_GE(bad_before, 3);
  // The word goes from the worker that counted through the main loop to all of them: from then on
  // nobody asks the ejected host.
  main_.Call([] {});
  for (auto& worker : workers_) worker->thread.Call([] {});
  RunAgain(2);
  EXPECT_EQ(Sum(&Client::bad), bad_before);
  EXPECT_EQ(Sum(&Client::good) + bad_before, 2 * kWorkers * kRequestsPerWorker);
}

}  // namespace
}  // namespace meltemi::proxy
