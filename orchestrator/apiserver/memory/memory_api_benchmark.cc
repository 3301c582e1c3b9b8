// What calls of the API server in memory cost: simulations are made of them.
#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "benchmark/benchmark.h"
#include "orchestrator/apiserver/memory/memory_api.h"

namespace meltemi::apiserver {
namespace {

constexpr char kPods[] = "/api/v1/namespaces/default/pods";

class NullSink final : public kube::WatchSink {
 public:
  void OnEvent(absl::string_view, absl::string_view) override {}
  void OnEnd(const kube::Status&) override {}
};

struct World {
  kube::ApiAnswer Must(const std::string& method, const std::string& path, std::string body = "",
                       const std::string& type = "application/json") {
    kube::Result<kube::ApiAnswer> answer = process->client().Call(
        {.method = method, .path = path, .body = std::move(body), .content_type = type});
    if (!answer.ok()) abort();
    return *std::move(answer);
  }
  void MakePod(int64_t i) {
    Must("POST", kPods,
         absl::StrCat(R"({"metadata":{"name":"p)", i,
                      R"(","labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i",)",
                      R"("resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]}})"));
  }
  FakeClock clock;
  FastRandom random{1};
  std::unique_ptr<MemoryApi> api = NewMemoryApi(clock, random);
  std::unique_ptr<MemoryApi::Process> process = api->NewProcess("admin");
};

void BM_NewApi(benchmark::State& state) {
  for (auto _ : state) World world;
}
BENCHMARK(BM_NewApi)->Unit(benchmark::kMicrosecond);

void BM_CreatePod(benchmark::State& state) {
  World world;
  NullSink sink;
  const auto watch = world.process->client().Watch({.path = "/api/v1/pods"}, sink);
  int64_t i = 0;
  for (auto _ : state) {
    world.MakePod(++i);
    world.api->DeliverAll();
  }
}
BENCHMARK(BM_CreatePod)->Unit(benchmark::kMicrosecond)->Iterations(5000);

void BM_GetPod(benchmark::State& state) {
  World world;
  world.MakePod(1);
  for (auto _ : state) world.Must("GET", absl::StrCat(kPods, "/p1"));
}
BENCHMARK(BM_GetPod)->Unit(benchmark::kMicrosecond);

void BM_ListHundredPods(benchmark::State& state) {
  World world;
  for (int64_t i = 0; i < 100; ++i) world.MakePod(i);
  for (auto _ : state) world.Must("GET", kPods);
}
BENCHMARK(BM_ListHundredPods)->Unit(benchmark::kMicrosecond);

void BM_BindPod(benchmark::State& state) {
  World world;
  for (int64_t i = 0; i < 2000; ++i) world.MakePod(i);
  int64_t i = 0;
  for (auto _ : state) {
    world.Must("POST", absl::StrCat(kPods, "/p", i, "/binding"),
               absl::StrCat(R"({"metadata":{"name":"p)", i,
                            R"("},"target":{"kind":"Node","name":"n1"}})"));
    ++i;
  }
}
BENCHMARK(BM_BindPod)->Unit(benchmark::kMicrosecond)->Iterations(2000);

void BM_UpdatePodStatus(benchmark::State& state) {
  World world;
  world.MakePod(1);
  const std::string path = absl::StrCat(kPods, "/p1/status");
  int64_t i = 0;
  std::string body = world.Must("GET", absl::StrCat(kPods, "/p1")).body;
  for (auto _ : state) {
    const size_t version = body.find("\"resourceVersion\":\"");
    const size_t status = body.find("\"phase\":\"");
    body = world
               .Must("PUT", path,
                     body.substr(0, status) +
                         absl::StrCat("\"phase\":\"Running\",\"message\":\"", ++i, "\",") +
                         R"("conditions":[{"type":"Ready","status":"True"}]}})")
               .body;
    benchmark::DoNotOptimize(version);
  }
}
BENCHMARK(BM_UpdatePodStatus)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace meltemi::apiserver
