// The cluster's DNS as it runs on a node, before an API server that is a list in memory: as many
// services as wanted, each with endpoints. Prints its address.
#include <signal.h>
#include <stdio.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/dns/dns_server.h"

namespace meltemi {
namespace {

constexpr uint32_t kPerNamespace = 100;

struct Options {
  uint32_t services = 10'000, endpoints = 10;
  std::string listen = "127.0.0.1:0", upstream;
};

// Lists in pages, as API servers give them; watches that never speak.
class ListClient final : public kube::Client {
 public:
  explicit ListClient(const Options& options) : options_(options) {}

  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    size_t limit = SIZE_MAX, from = 0;
    for (const auto& [key, value] : call.query) {
      if (key == "limit") (void)absl::SimpleAtoi(value, &limit);
      if (key == "continue") (void)absl::SimpleAtoi(value, &from);
    }
    if (limit == 0) limit = SIZE_MAX;
    const bool slices = absl::StrContains(call.path, "endpointslices");
    const bool services = absl::StrContains(call.path, "services");
    const size_t count =
        slices || services ? options_.services : 1 + options_.services / kPerNamespace;
    const size_t to = std::min(count, limit > count - from ? count : from + limit);
    std::string body = absl::StrCat(
        R"({"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1","continue":")",
        to < count ? absl::StrCat(to) : "", R"("},"items":[)");
    for (size_t i = from; i < to; ++i) {
      absl::StrAppend(&body, i == from ? "" : ",",
                      slices     ? Slice(i)
                      : services ? Service(i)
                                 : Namespace(i));
    }
    return kube::ApiAnswer{200, body + "]}"};
  }
  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall&, kube::WatchSink&) override {
    return std::make_unique<kube::ApiWatch>();
  }

 private:
  static std::string Meta(absl::string_view name, size_t i) {
    return absl::StrCat(R"("metadata":{"name":")", name, R"(","namespace":"ns-)", i / kPerNamespace,
                        R"(","uid":"00000000-0000-0000-0000-)", 100'000'000'000 + i,
                        R"(","resourceVersion":"1","labels":{"app":"web-)", i,
                        R"(","kubernetes.io/service-name":"svc-)", i, R"("}})");
  }
  static std::string Namespace(size_t i) {
    return absl::StrCat(R"({"metadata":{"name":"ns-)", i, R"(","resourceVersion":"1"}})");
  }
  // Each tenth is headless.
  static std::string Service(size_t i) {
    const std::string ip = i % 10 == 9 ? "None" : absl::StrCat("10.96.", i / 250 + 1, ".", i % 250);
    return absl::StrCat(
        "{", Meta(absl::StrCat("svc-", i), i), R"(,"spec":{"clusterIP":")", ip,
        R"(","clusterIPs":[")", ip,
        R"("],"type":"ClusterIP","selector":{"app":"web"},"ports":[{"name":"http",)",
        R"("protocol":"TCP","port":80,"targetPort":8080}]}})");
  }
  std::string Slice(size_t i) const {
    std::string out = absl::StrCat("{", Meta(absl::StrCat("svc-", i, "-abcde"), i),
                                   R"(,"addressType":"IPv4","ports":[{"name":"http","protocol":)",
                                   R"("TCP","port":8080}],"endpoints":[)");
    for (uint32_t e = 0; e < options_.endpoints; ++e) {
      const size_t n = i * options_.endpoints + e;
      absl::StrAppend(&out, e == 0 ? "" : ",", R"({"addresses":["10.)", 128 + n / 65536, ".",
                      n / 256 % 256, ".", n % 256,
                      R"("],"conditions":{"ready":true,"serving":true,"terminating":false},)",
                      R"("nodeName":"node-1","targetRef":{"kind":"Pod","name":"web-)", n, R"("}})");
    }
    return out + "]}";
  }

  const Options options_;
};

int Serve(const Options& options) {
  const SystemClock clock;
  const std::unique_ptr<Loop> loop = NewEventLoop(clock);
  const auto on_term = loop->WatchSignal(SIGTERM, [&loop] { loop->Exit(); });
  ListClient client(options);
  const std::unique_ptr<kube::Executor> executor = kube::NewThreadExecutor(clock);
  const std::unique_ptr<kube::Informers> informers = kube::NewInformers(client, *executor);
  metrics::Registry metrics;
  dns::DnsOptions dns_options;
  dns_options.addresses = {*net::Address::Parse(options.listen)};
  dns_options.resolv_conf = "/dev/null";
  if (!options.upstream.empty()) dns_options.upstreams = {*net::Address::Parse(options.upstream)};
  auto server = dns::StartDnsServer(dns_options, clock, *informers, &metrics);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  informers->Start([&server] {
    (*server)->Start();
    std::printf("%s\n", (*server)->addresses()[0].ToString().c_str());
    std::fflush(stdout);
  });
  loop->Run();
  informers->Stop();
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("server [OPTIONS]");
  flags.Number("services", {}, &options.services, 1, 60'000, "in namespaces of a hundred");
  flags.Number("endpoints", {}, &options.endpoints, 0, 100, "of each");
  flags.Text("listen", {}, &options.listen, "IP:PORT", "UDP and TCP");
  flags.Text("upstream", {}, &options.upstream, "IP:PORT", "for other names");
  if (!flags.Parse({argv + 1, argv + argc}).ok()) return 2;
  return Serve(options);
}

}  // namespace
}  // namespace meltemi

int main(int argc, char** argv) { return meltemi::Main(argc, argv); }
