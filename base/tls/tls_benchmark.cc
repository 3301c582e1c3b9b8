// What handshakes cost (both ends, one thread), what bytes cost, and what an idle connection holds.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log/log.h"
#include "base/net/listener.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"

namespace meltemi::tls {
namespace {

KeyPair NewPair(const std::string& name, const KeyPair& issuer, bool is_ca) {
  CertificateRequest request;
  request.common_name = name;
  request.is_ca = is_ca;
  if (!is_ca) request.uris = {"spiffe://cluster.local/ns/shop/sa/" + name};
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  return *NewCertificate(request, issuer);
}

struct End final : net::ConnectionHandler {
  void OnConnected() override { connected = true; }
  void OnRead(Buffer& in, bool) override {
    received += in.size();
    in.Clear();
  }
  void OnClosed(net::CloseCause, absl::string_view) override {}
  std::unique_ptr<Connection> connection;
  bool connected = false;
  size_t received = 0;
};

// Mutual TLS as the mesh has it.
class Pairs {
 public:
  Pairs() {
    const KeyPair root = NewPair("root", {}, true);
    ServerOptions server;
    server.identity = NewPair("cart", root, false);
    server.peer = PeerCertificate::kRequired;
    server.client_ca_pem = root.certificate_chain_pem;
    server.rules.emplace();
    server.for_proxy = true;
    server_ = *NewServerContext(server);
    ClientOptions client;
    client.identity = NewPair("front", root, false);
    client.ca_pem = root.certificate_chain_pem;
    client.rules.emplace();
    client.for_proxy = true;
    resuming_ = *NewClientContext(client);
    client.sessions_max = 0;
    full_ = *NewClientContext(client);
    listener_ = *net::Listen(
        *loop_, net::Address::Loopback4(0), {}, [this](int fd, const net::Address& from) {
          auto end = std::make_unique<End>();
          end->connection = NewServerConnection(
              *loop_, net::NewServerConnection(*loop_, fd, from, {}), {}, server_);
          end->connection->SetHandler(end.get());
          servers.push_back(std::move(end));
        });
  }
  ~Pairs() {
    Clear();
    loop_->DeferDelete(std::move(listener_));
    loop_->RunOnce(milliseconds(1));
  }
  void Connect(bool resume) {
    auto end = std::make_unique<End>();
    end->connection =
        NewClientConnection(*loop_, listener_->address(), {}, {}, resume ? resuming_ : full_);
    end->connection->SetHandler(end.get());
    clients.push_back(std::move(end));
    const size_t count = clients.size();
    while (servers.size() < count || !servers.back()->connected || !clients.back()->connected) {
      loop_->RunOnce(milliseconds(100));
    }
    if (!resume) return;
    // Tickets go with the server's first bytes.
    servers.back()->connection->output().Append("x");
    servers.back()->connection->FlushSoon();
    while (clients.back()->received == 0) loop_->RunOnce(milliseconds(100));
  }
  void Clear() {
    for (auto* ends : {&servers, &clients}) {
      for (std::unique_ptr<End>& end : *ends) {
        end->connection->SetHandler(nullptr);
        loop_->DeferDelete(std::move(end->connection));
      }
      ends->clear();
    }
    loop_->RunOnce(milliseconds(0));
  }
  Loop& loop() { return *loop_; }

  std::vector<std::unique_ptr<End>> servers, clients;

 private:
  SystemClock clock_;
  std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  std::shared_ptr<const Context> server_, full_, resuming_;
  std::unique_ptr<net::Listener> listener_;
};

void BM_Handshake(benchmark::State& state) {
  Pairs pairs;
  const bool resume = state.range(0) != 0;
  pairs.Connect(resume);
  for (auto _ : state) {
    pairs.Connect(resume);
    CHECK(pairs.clients.back()->connection->session().resumed == resume);
    pairs.Clear();
  }
}
BENCHMARK(BM_Handshake)->Arg(0)->Arg(1);

void BM_Bytes(benchmark::State& state) {
  Pairs pairs;
  pairs.Connect(false);
  const std::string block(static_cast<size_t>(state.range(0)), 'x');
  End& from = *pairs.clients.back();
  End& to = *pairs.servers.back();
  for (auto _ : state) {
    to.received = 0;
    from.connection->output().Append(block);
    from.connection->FlushSoon();
    while (to.received < block.size()) pairs.loop().RunOnce(milliseconds(100));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * block.size()));
}
BENCHMARK(BM_Bytes)->Arg(100)->Arg(16 * 1024)->Arg(1024 * 1024);

// Of both ends together.
void BM_IdleMemory(benchmark::State& state) {
  Pairs pairs;
  pairs.Connect(false);
  for (auto _ : state) {
    const size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 200; ++i) pairs.Connect(false);
    for (int i = 0; i < 20; ++i) pairs.loop().RunOnce(milliseconds(1));
    state.counters["bytes_per_pair"] = static_cast<double>(mallinfo2().uordblks - before) / 200;
    pairs.Clear();
  }
}
BENCHMARK(BM_IdleMemory)->Iterations(1);

}  // namespace
}  // namespace meltemi::tls
