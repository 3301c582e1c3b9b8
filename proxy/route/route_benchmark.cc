// What routing costs a request: a mesh of 1,000 services as Istio shapes it, and one virtual host
// with 5,000 routes. The bar: match, header changes and statistics together below 500 ns.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/metrics/metrics.h"
#include "benchmark/benchmark.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/rewrite.h"
#include "proxy/route/route_test_builder.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {
namespace {

constexpr int kServices = 1000;
constexpr int kRoutes = 5000;

std::string Service(int i) { return absl::StrCat("service-", i, ".default.svc.cluster.local"); }

std::shared_ptr<RouteTable> Mesh() {
  TableBuilder builder;
  for (int i = 0; i < kServices; ++i) {
    const std::string name = absl::StrCat("service-", i);
    builder.Host(
        absl::StrCat(Service(i), ":80"),
        {Service(i), name, absl::StrCat(name, ".default"), absl::StrCat(name, ".default.svc"),
         absl::StrCat("10.96.", i / 250, ".", i % 250 + 1)});
    builder.Route(With(Prefix("/"), HeaderIs("lab", StringMatcher::Kind::kExact, "canary")),
                  absl::StrCat("outbound|80|v2|", Service(i)));
    builder.Route(Prefix("/"), absl::StrCat("outbound|80|v1|", Service(i)));
  }
  builder.Host("allow_any", {"*"}).Route(Prefix("/"), "PassthroughCluster");
  builder.table().ignore_port_in_host = true;
  return builder.Build();
}

http::HeaderMapPtr BrowserRequest(absl::string_view authority, absl::string_view path) {
  return Get(authority, path,
             {{"user-agent", "curl/7.88.1"},
              {"accept", "*/*"},
              {"x-forwarded-proto", "http"},
              {"x-request-id", "3f2a8e1c-7a51-4f0e-9c53-1d2f3a4b5c6d"}});
}

void BM_MatchAmongThousandServices(benchmark::State& state) {
  const auto table = Mesh();
  std::vector<http::HeaderMapPtr> requests;
  for (int i = 0; i < 64; ++i) {
    requests.push_back(BrowserRequest(absl::StrCat(Service(i * 15), ":80"), "/env/NAME"));
  }
  size_t i = 0;
  for (auto _ : state) {
    const VirtualHost* host = nullptr;
    benchmark::DoNotOptimize(table->Match(*requests[i++ % requests.size()], {}, &host));
  }
}
BENCHMARK(BM_MatchAmongThousandServices);

void BM_MatchAmongThousandServicesByIp(benchmark::State& state) {
  const auto table = Mesh();
  const auto request = BrowserRequest("10.96.3.7", "/");
  for (auto _ : state) {
    const VirtualHost* host = nullptr;
    benchmark::DoNotOptimize(table->Match(*request, {}, &host));
  }
}
BENCHMARK(BM_MatchAmongThousandServicesByIp);

RouteMatch Numbered(int kind, int i) {
  const std::string path = absl::StrCat("/api/v", i % 7, "/resource-", i);
  return kind == 0 ? Exact(path) : kind == 1 ? Prefix(path + "/") : PathRegex(path + "/[0-9]+");
}

// Arg: 0 exact paths, 1 prefixes, 2 regexes (which have to be tried one after the other).
void BM_MatchAmongFiveThousandRoutes(benchmark::State& state) {
  const int kind = static_cast<int>(state.range(0));
  TableBuilder builder;
  builder.Host("h", {"*"});
  for (int i = 0; i < kRoutes; ++i) builder.Route(Numbered(kind, i), absl::StrCat("c", i));
  builder.Route(Prefix("/"), "rest");
  const auto table = builder.Build();
  std::vector<http::HeaderMapPtr> requests;
  for (int i = 0; i < 64; ++i) {
    const int n = i * 78;
    requests.push_back(BrowserRequest(
        "h", absl::StrCat("/api/v", n % 7, "/resource-", n, kind == 0 ? "" : "/17", "?q=1")));
  }
  size_t i = 0;
  for (auto _ : state) {
    const VirtualHost* host = nullptr;
    benchmark::DoNotOptimize(table->Match(*requests[i++ % requests.size()], {}, &host));
  }
}
BENCHMARK(BM_MatchAmongFiveThousandRoutes)->Arg(0)->Arg(1)->Arg(2);

// All that a request of a sidecar pays here: match, peer metadata, changes, statistics.
void BM_WholeRequest(benchmark::State& state) {
  const auto table = Mesh();
  metrics::Registry registry;
  auto self = std::make_shared<Workload>();
  self->name = self->app = self->canonical_service = "sleep";
  self->namespace_ = "default";
  self->node_id = "sidecar~10.244.0.7~sleep-5c8d7.default~default.svc.cluster.local";
  const auto stats = NewMeshStats(registry.NewShard(), self);
  ClusterConfig cluster;
  cluster.service_host = Service(500);
  cluster.fingerprint = 77;
  HeaderOps ops;
  ops.add.push_back({.name = "x-envoy-decorator-operation",
                     .literal = "service-500:80/*",
                     .append = HeaderOps::Append::kOverwriteOrAdd});
  for (auto& host : table->virtual_hosts) {
    for (auto& route : host->routes) route->request_ops.push_back(&ops);
  }
  const auto request = BrowserRequest(Service(500), "/env/NAME");
  StreamInfo info;
  info.start = MonotonicTime(seconds(1));
  info.end = MonotonicTime(seconds(1) + microseconds(700));
  info.response_code = 200;
  info.cluster = &cluster;
  for (auto _ : state) {
    const VirtualHost* host = nullptr;
    const Route* route = table->Match(*request, {}, &host);
    stats->OnRequestHeaders(*request, info, /*inbound=*/false);
    ApplyRequestChanges(*route, route->PickCluster(0), *request, info);
    stats->OnStreamEnd(request.get(), info, /*inbound=*/false);
    benchmark::DoNotOptimize(request.get());
    // A fresh map each time would measure the codec: give back what the arena took.
    if (request->size() > 6) request->Remove("x-envoy-decorator-operation");
  }
}
BENCHMARK(BM_WholeRequest);

}  // namespace
}  // namespace meltemi::proxy
