// From a changed object to the bytes for a proxy, with 1,000 services and 10,000 endpoints.
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/session.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {
namespace {

constexpr int kServices = 1000;
constexpr int kEndpointsEach = 10;
constexpr int kNamespaces = 50;

std::string ServiceText(int i) {
  std::string text = absl::StrCat(
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: s", i, ", namespace: ns",
      i % kNamespaces, "}\nspec: {clusterIP: 10.100.", i / 250, ".", i % 250 + 1,
      ", selector: {app: s", i, "}, ports: [{name: http, port: 80, targetPort: 8080}]}\n");
  for (int j = 0; j < kEndpointsEach; ++j) {
    absl::StrAppend(
        &text, "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: s",
        i, "-", j, ", namespace: ns", i % kNamespaces, "}\nspec: {address: 10.", i / 256, ".",
        i % 256, ".", j + 1, ", labels: {app: s", i, ", version: v", j % 2, "}}\n");
  }
  return text;
}

std::string RuleText(int i) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: s", i,
      ", namespace: ns", i % kNamespaces, "}\nspec: {host: s", i,
      ", subsets: [{name: v0, labels: {version: v0}}, {name: v1, labels: {version: v1}}]}\n");
}

std::string RouteText(int i, int weight) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: s", i,
      ", namespace: ns", i % kNamespaces, "}\nspec: {hosts: [s", i,
      "], http: [{route: [{destination: {host: s", i, ", subset: v0}, weight: ", weight,
      "}, {destination: {host: s", i, ", subset: v1}, weight: ", 100 - weight, "}]}]}\n");
}

FakeMesh& BigMesh() {
  static FakeMesh& mesh = *[] {
    auto* made = new FakeMesh();
    std::string text;
    for (int i = 0; i < kServices; ++i) {
      text += ServiceText(i);
      if (i % 5 == 0) text += RuleText(i) + RouteText(i, 80);
    }
    made->Apply(text);
    return made;
  }();
  return mesh;
}

// A sidecar that acknowledges everything at once.
class Proxy {
 public:
  Proxy(Translator* translator, int i, const SnapshotPtr& snapshot) {
    ProxyNode node;
    node.ns = absl::StrCat("ns", i % kNamespaces);
    node.name = absl::StrCat("p", i);
    node.addresses = {absl::StrCat("10.200.", i / 250, ".", i % 250 + 1)};
    node.labels = {{"app", "client"}};
    view_ = translator->NewView(std::move(node));
    view_->Use(snapshot);
    session_ = std::make_unique<Session>(view_.get(), Session::Options{});
    Ask(XdsType::kCluster, {});
    Drain();
    Ask(XdsType::kEndpoint, Needed(XdsType::kCluster));
    Ask(XdsType::kListener, {});
    Drain();
    Ask(XdsType::kRoute, Needed(XdsType::kListener));
    Drain();
  }

  size_t Push(const SnapshotPtr& snapshot) {
    view_->Use(snapshot);
    session_->core().OnSnapshot(snapshot->version);
    return Drain();
  }

 private:
  std::vector<std::string> Needed(XdsType type) {
    std::vector<std::string> names;
    const ResourceSetPtr all = view_->All(type);
    for (const auto& resource : all->resources) {
      names.insert(names.end(), resource->needs.begin(), resource->needs.end());
    }
    return names;
  }
  void Ask(XdsType type, std::vector<std::string> names) {
    names_[static_cast<size_t>(type)] = std::move(names);
    Send(type, "");
  }
  void Send(XdsType type, const std::string& nonce) {
    envoy::service::discovery::v3::DiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    request.set_response_nonce(nonce);
    for (const auto& name : names_[static_cast<size_t>(type)]) request.add_resource_names(name);
    session_->OnRequest(request);
  }
  size_t Drain() {
    size_t bytes = 0;
    while (std::optional<Response> response = session_->Next(MonotonicTime())) {
      bytes += response->message.size();
      Send(response->type, response->nonce);
    }
    return bytes;
  }

  std::unique_ptr<ProxyView> view_;
  std::unique_ptr<Session> session_;
  std::array<std::vector<std::string>, kXdsTypes> names_;
};

void BM_FirstTranslation(benchmark::State& state) {
  const SnapshotPtr snapshot = BigMesh().Build();
  for (auto _ : state) {
    Translator translator;
    Proxy proxy(&translator, 0, snapshot);
  }
}
BENCHMARK(BM_FirstTranslation)->Unit(benchmark::kMillisecond);

// The object is decoded already; what is timed is snapshot, translation and encoding.
template <typename Change>
void Push(benchmark::State& state, Change change) {
  Translator translator;
  SnapshotPtr snapshot = BigMesh().Build();
  std::vector<std::unique_ptr<Proxy>> proxies;
  for (int i = 0; i < state.range(0); ++i) {
    proxies.push_back(std::make_unique<Proxy>(&translator, i, snapshot));
  }
  size_t bytes = 0;
  int round = 0;
  for (auto _ : state) {
    state.PauseTiming();
    BigMesh().Apply(change(++round));
    state.ResumeTiming();
    snapshot = BigMesh().Build();
    for (const auto& proxy : proxies) {
      bytes += proxy->Push(snapshot);
    }
  }
  state.counters["bytes"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kAvgIterations);
}

void BM_RouteChange(benchmark::State& state) {
  Push(state, [](int round) { return RouteText(0, round % 2 == 0 ? 80 : 70); });
}
BENCHMARK(BM_RouteChange)->Arg(1)->Arg(100)->Unit(benchmark::kMillisecond);

void BM_EndpointChange(benchmark::State& state) {
  Push(state, [](int round) {
    return absl::StrCat(
        "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: s7-0, "
        "namespace: ns7}, spec: {address: 10.250.0.",
        round % 250 + 1, ", labels: {app: s7, version: v0}}}");
  });
}
BENCHMARK(BM_EndpointChange)->Arg(1)->Arg(100)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace meltemi::pilot
