// What a scheduling cycle costs, per kind of pod: 5,000 nodes, 10,000 pods that run, and pods that
// are placed one after the other, each as the one before it was assumed.
//
//   bazel run --config=release //orchestrator/scheduler/plugins:plugins_bench
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "benchmark/benchmark.h"
#include "orchestrator/scheduler/cache/cache.h"
#include "orchestrator/scheduler/cycle/cycle.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"
#include "orchestrator/scheduler/plugins/plugins.h"
#include "orchestrator/scheduler/queue/nominated.h"

namespace meltemi::scheduler {
namespace {

constexpr int kNodes = 5000;
constexpr int kPods = 10000;

struct Kind {
  const char* name;
  const char* running;
  const char* waiting;
};

constexpr char kAntiAffinity[] =
    "{labels: {app: green}, requests: {cpu: 100m, memory: 100Mi}, affinity: {podAntiAffinity: "
    "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, "
    "labelSelector: {matchLabels: {app: green}}}]}}}";
constexpr char kPlain[] = "{labels: {app: plain}, requests: {cpu: 100m, memory: 100Mi}}";

const Kind kKinds[] = {
    {"Basic", kPlain, kPlain},
    {"NodeAffinity", kPlain,
     "{requests: {cpu: 100m}, affinity: {nodeAffinity: "
     "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: "
     "[{key: topology.kubernetes.io/zone, operator: In, values: [zone1, zone2]}]}]}}}}"},
    {"AntiAffinity", kPlain, kAntiAffinity},
    {"Affinity", kPlain,
     "{labels: {app: blue}, requests: {cpu: 100m}, affinity: {podAffinity: "
     "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: "
     "topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: blue}}}]}}}"},
    {"PreferredAffinity", kPlain,
     "{labels: {app: red}, requests: {cpu: 100m}, affinity: {podAffinity: "
     "{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: "
     "{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: red}}}}]}}}"},
    {"Spread", kPlain,
     "{labels: {app: white}, requests: {cpu: 100m}, topologySpreadConstraints: [{maxSkew: 5, "
     "topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: "
     "{matchLabels: {app: white}}}]}"},
    {"SpreadHosts", kPlain,
     "{labels: {app: white}, requests: {cpu: 100m}, topologySpreadConstraints: [{maxSkew: 1, "
     "topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: "
     "{matchLabels: {app: white}}}]}"},
    {"SpreadPreferred", kPlain,
     "{labels: {app: white}, requests: {cpu: 100m}, topologySpreadConstraints: [{maxSkew: 5, "
     "topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway, labelSelector: "
     "{matchLabels: {app: white}}}]}"},
    {"NoRoom", kPlain, "{requests: {cpu: 100}}"},
    // Pods that are all different, as those of StatefulSets are: nothing is kept for the next.
    {"AntiAffinityAllDifferent", kAntiAffinity, kAntiAffinity},
};

std::string Suffix(const Kind& kind, int i) {
  return absl::string_view(kind.name) == "AntiAffinityAllDifferent"
             ? absl::StrCat(
                   "{labels: {app: green", i, ", pod: p", i, "}, ",
                   absl::string_view(kAntiAffinity).substr(sizeof("{labels: {app: green}")))
             : "";
}

class World {
 public:
  explicit World(const Kind& kind) {
    rules_ = MakeRules("default-scheduler",
                       *MakePlugins({}, [](const PodInfo&) { return kube::LabelSelector(); }));
    for (int i = 0; i < kNodes; ++i) {
      const std::string name = absl::StrCat("node-", i);
      cache_.SetNode(MakeNodeFacts(MakeNode(
          name,
          absl::StrCat("{labels: {kubernetes.io/hostname: ", name,
                       ", topology.kubernetes.io/zone: zone", i % 10,
                       ", kubernetes.io/os: linux, kubernetes.io/arch: amd64, "
                       "node.kubernetes.io/instance-type: hollow}, cpu: 32, memory: 64Gi}"))));
    }
    cache_.SetNamespace("default", {{"kubernetes.io/metadata.name", "default"}});
    const PodPtr like = MakePod("running", kind.running);
    for (int i = 0; i < kPods; ++i) {
      std::string other = Suffix(kind, i % (kPods / 2));
      Put(other.empty() ? like : MakePod("running", other), absl::StrCat("running-", i),
          absl::StrCat("node-", i % kNodes));
    }
    cache_.Update(snapshot_);
  }

  PodInfoPtr Named(const PodPtr& like, const std::string& name) {
    auto pod = std::make_shared<kube::core::v1::Pod>(*like);
    pod->mutable_metadata()->set_name(name);
    pod->mutable_metadata()->set_uid(name);
    return MakePodInfo(std::move(pod));
  }

  // Whether there was a place.
  bool Schedule(const PodInfoPtr& pod) {
    cache_.Update(snapshot_);
    const Placement placement = cycle_.Place(rules_, *pod, snapshot_, nominated_);
    return placement.node != nullptr && cache_.Assume(pod, placement.node->name());
  }
  void Forget(const PodInfoPtr& pod) { cache_.Forget(pod->uid); }

 private:
  void Put(const PodPtr& like, const std::string& name, const std::string& node) {
    auto pod = std::make_shared<kube::core::v1::Pod>(*like);
    pod->mutable_metadata()->set_name(name);
    pod->mutable_metadata()->set_uid(name);
    pod->mutable_spec()->set_node_name(node);
    cache_.SetPod(MakePodInfo(std::move(pod)));
  }

  Rules rules_;
  Cache cache_;
  Snapshot snapshot_;
  Nominated nominated_;
  FastRandom random_{1};
  Cycle cycle_{0, random_};
};

// 2,000 pods of the kind come and go, so that the cluster stays as full as it is.
void BM_Cycle(benchmark::State& state) {
  const Kind& kind = kKinds[state.range(0)];
  World world(kind);
  const PodPtr like = MakePod("waiting", kind.waiting);
  std::vector<PodInfoPtr> pods;
  for (int i = 0; i < 2000; ++i) {
    std::string other = Suffix(kind, i);
    pods.push_back(
        world.Named(other.empty() ? like : MakePod("waiting", other), absl::StrCat("waiting-", i)));
  }
  size_t next = 0;
  int64_t placed = 0;
  for (auto _ : state) {
    world.Forget(pods[next]);
    placed += world.Schedule(pods[next]) ? 1 : 0;
    next = (next + 1) % pods.size();
  }
  state.SetLabel(absl::StrCat(kind.name, ", placed ", placed * 100 / state.iterations(), "%"));
}
BENCHMARK(BM_Cycle)->DenseRange(0, std::size(kKinds) - 1)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace meltemi::scheduler
