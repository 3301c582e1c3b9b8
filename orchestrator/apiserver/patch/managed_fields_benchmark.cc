// What the bookkeeping costs a write of a pod of some 5 KB with three managers.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "benchmark/benchmark.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/patch/schema_fake.h"

namespace meltemi::apiserver {
namespace {

json::Value Container(int i) {
  std::string env, ports, mounts;
  for (int j = 0; j < 8; ++j) {
    absl::StrAppend(&env, j > 0 ? "," : "", R"({"name":"VARIABLE_)", j, R"(","value":"a value )", j,
                    "\"}");
    absl::StrAppend(&ports, j > 0 ? "," : "", R"({"name":"port-)", j, R"(","containerPort":)",
                    8000 + j, R"(,"protocol":"TCP"})");
    absl::StrAppend(&mounts, j > 0 ? "," : "", R"({"name":"volume-)", j,
                    R"(","mountPath":"/var/lib/data/)", j, "\"}");
  }
  return *json::Parse(absl::StrCat(
      R"({"name":"container-)", i, R"(","image":"registry/app:1.2.3","args":["--a","--b"],"env":[)",
      env, R"(],"ports":[)", ports, R"(],"volumeMounts":[)", mounts,
      R"(],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m"}}})"));
}

json::Value Pod(absl::string_view phase) {
  json::Value pod = *json::Parse(absl::StrCat(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1","namespace":"default",)"
      R"("labels":{"app":"web","tier":"front"},"annotations":{"note":"some text"}},)"
      R"("spec":{"containers":[],"nodeName":"node-1","restartPolicy":"Always"},)"
      R"("status":{"phase":")",
      phase, R"(","conditions":[{"type":"Ready","status":"True"},{"type":"PodScheduled",)",
      R"("status":"True"}]}})"));
  for (int i = 0; i < 3; ++i) pod.Find("spec")->Find("containers")->Append(Container(i));
  return pod;
}

struct Setup {
  Setup() {
    live = Pod("Pending");
    TrackUpdate(schema, json::Value(), Who("kubectl-create", ""), live);
    json::Value next = Pod("Running");
    next.Find("metadata")->Set("managedFields", *live.Find("metadata", "managedFields"));
    TrackUpdate(schema, live, Who("kubelet", "status"), next);
    live = std::move(next);
  }
  static FieldManager Who(absl::string_view name, absl::string_view subresource) {
    FieldManager manager;
    manager.name = std::string(name);
    manager.api_version = "v1";
    manager.subresource = std::string(subresource);
    manager.time = "2026-01-01T00:00:00Z";
    return manager;
  }

  SchemaArena arena;
  const Schema& schema = PodSchemaFake(arena);
  json::Value live;
};

void BM_TrackUpdate(benchmark::State& state) {
  Setup setup;
  json::Value updated = setup.live;
  if (state.range(0) == 1) updated.Find("status")->Set("phase", json::Value::String("Failed"));
  FieldManager manager = Setup::Who("kubelet", "status");
  for (auto _ : state) {
    state.PauseTiming();
    json::Value copy = updated;
    state.ResumeTiming();
    TrackUpdate(setup.schema, setup.live, manager, copy);
    benchmark::DoNotOptimize(copy);
  }
  state.SetLabel(absl::StrCat(json::ToString(setup.live).size(), " bytes"));
}
BENCHMARK(BM_TrackUpdate)->Arg(0)->Arg(1);

void BM_TrackCreate(benchmark::State& state) {
  Setup setup;
  FieldManager manager = Setup::Who("kubectl-create", "");
  json::Value pod = Pod("Pending");
  for (auto _ : state) {
    state.PauseTiming();
    json::Value copy = pod;
    state.ResumeTiming();
    TrackUpdate(setup.schema, json::Value(), manager, copy);
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_TrackCreate);

void BM_Apply(benchmark::State& state) {
  Setup setup;
  FieldManager manager = Setup::Who("applier", "");
  json::Value applied = Pod("Running");
  applied.Remove("status");
  for (auto _ : state) {
    kube::Result<json::Value> result = Apply(setup.schema, setup.live, applied, manager, false);
    CHECK(result.ok());
    benchmark::DoNotOptimize(result);
  }
}
BENCHMARK(BM_Apply);

}  // namespace
}  // namespace meltemi::apiserver
