// What the server costs: `server_bench memory` prints the bytes of idle connections and watches,
// `server_bench serve PORT` answers at once, for load generators (until its input ends).

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/log/log.h"
#include "base/tls/certificate.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/http/test_client.h"

namespace meltemi::apiserver {
namespace {

class Registered final : public WatchRegistration {};

// Watches that never bring anything.
class QuietHub final : public WatchHub {
 public:
  kube::Result<std::unique_ptr<WatchRegistration>> Watch(Loop&, const WatchQuery&,
                                                         WatchSink&) override {
    ++watches;
    return std::unique_ptr<WatchRegistration>(new Registered);
  }
  std::atomic<size_t> watches{0};
};

class BenchHandler final : public Handler {
 public:
  Reply Handle(Request& request) override {
    if (request.info.verb != "watch") return Body{.bytes = "{\"kind\":\"Status\"}\n"};
    WatchAnswer watch;
    watch.timeout = minutes(60);
    return watch;
  }
};

tls::KeyPair NewPair(const std::string& name, const tls::KeyPair& issuer, bool is_ca) {
  tls::CertificateRequest request;
  request.common_name = name;
  request.is_ca = is_ca;
  if (!is_ca) request.dns_names = {name, "localhost"};
  request.server_auth = request.client_auth = !is_ca;
  request.not_before_s = std::time(nullptr) - 60;
  request.not_after_s = std::time(nullptr) + 3600;
  return *tls::NewCertificate(request, issuer);
}

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

struct Bench {
  Bench() : ca(NewPair("ca", tls::KeyPair(), true)) {
    options.address = net::Address::Loopback4(0);
    options.tls.identity = NewPair("server.test", ca, false);
    options.tls.alpn = {"h2", "http/1.1"};
    options.tls.peer = tls::PeerCertificate::kOptional;
    options.tls.client_ca_pem = ca.certificate_chain_pem;
    options.idle_timeout = options.headers_timeout = minutes(60);
  }
  void Start() {
    auto started = StartServer(options, clock, handler, hub);
    CHECK(started.ok());
    server = *std::move(started);
  }

  SystemClock clock;
  const tls::KeyPair ca;
  ServerOptions options;
  BenchHandler handler;
  QuietHub hub;
  std::unique_ptr<Server> server;
};

// In a process of its own: opens connections with watches on each, says so, and waits.
[[noreturn]] void RunClients(const Bench& bench, bool http2, int connections, int watches,
                             int ready, int go) {
  tls::ClientOptions options;
  options.alpn = {http2 ? "h2" : "http/1.1"};
  options.ca_pem = bench.ca.certificate_chain_pem;
  options.server_name = "server.test";
  options.identity = NewPair("client.test", bench.ca, false);
  const auto context = *tls::NewClientContext(options);
  std::vector<std::unique_ptr<TestClient>> clients;
  for (int i = 0; i < connections; ++i) {
    clients.push_back(
        std::make_unique<TestClient>(bench.clock, bench.server->address(), http2, context));
    // The first request tells the client how many streams there may be.
    auto* first = clients.back()->Do("GET", "/healthz");
    CHECK(first->status == 200);
    for (int j = 0; j < watches; ++j) {
      auto* call = clients.back()->Start("GET", "/api/v1/pods?watch=1");
      CHECK(clients.back()->Until([&] { return call->status == 200; }));
    }
  }
  CHECK(write(ready, "r", 1) == 1);
  char byte;
  (void)!read(go, &byte, 1);
  _exit(0);
}

void MeasureHere(const char* what, bool http2, int connections, int watches) {
  int ready[2], go[2], address[2];
  CHECK(pipe(ready) == 0 && pipe(go) == 0 && pipe(address) == 0);
  Bench bench;
  // The child is forked before there are threads, and learns the port later.
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    uint16_t port = 0;
    CHECK(read(address[0], &port, sizeof(port)) == sizeof(port));
    struct Remote final : Server {
      explicit Remote(uint16_t port) : to(net::Address::Loopback4(port)) {}
      const net::Address& address() const override { return to; }
      void Stop(Duration) override {}
      net::Address to;
    };
    bench.server = std::make_unique<Remote>(port);
    RunClients(bench, http2, connections, watches, ready[1], go[0]);
  }
  bench.Start();
  // One client warms up what is made once.
  {
    tls::ClientOptions options;
    options.alpn = {"h2"};
    options.peer = tls::PeerCertificate::kNone;
    TestClient client(bench.clock, bench.server->address(), true, *tls::NewClientContext(options));
    CHECK(client.Do("GET", "/healthz")->status == 200);
  }
  const size_t before = ResidentBytes();
  const uint16_t port = bench.server->address().port();
  CHECK(write(address[1], &port, sizeof(port)) == sizeof(port));
  char byte;
  CHECK(read(ready[0], &byte, 1) == 1);
  const size_t after = ResidentBytes();
  const size_t things = static_cast<size_t>(watches > 1 ? connections * watches : connections);
  std::printf("%-44s %5zu: %7zu bytes each (%zu KiB before, %zu KiB after)\n", what, things,
              (after - std::min(after, before)) / things, before / 1024, after / 1024);
  CHECK(write(go[1], "g", 1) == 1);
  (void)waitpid(child, nullptr, 0);
}

// In a process of its own, so that nothing is left of the measurement before.
void Measure(const char* what, bool http2, int connections, int watches) {
  std::fflush(stdout);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    MeasureHere(what, http2, connections, watches);
    std::fflush(stdout);
    _exit(0);
  }
  (void)waitpid(child, nullptr, 0);
}

int Run(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (argc > 1 && std::strcmp(argv[1], "memory") == 0) {
    Measure("idle connections, HTTP/1.1 over TLS", false, 2000, 0);
    Measure("watches, one per HTTP/1.1 connection", false, 2000, 1);
    Measure("watches, one per HTTP/2 connection", true, 2000, 1);
    Measure("watches, 900 on each of 5 HTTP/2 connections", true, 5, 900);
    return 0;
  }
  Bench bench;
  int port = 0;
  if (argc > 2) CHECK(absl::SimpleAtoi(argv[2], &port));
  bench.options.address.set_port(static_cast<uint16_t>(port));
  bench.Start();
  std::printf("%s\n", bench.server->address().ToString().c_str());
  std::fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  bench.server->Stop(seconds(5));
  return 0;
}

}  // namespace
}  // namespace meltemi::apiserver

int main(int argc, char** argv) { return meltemi::apiserver::Run(argc, argv); }
