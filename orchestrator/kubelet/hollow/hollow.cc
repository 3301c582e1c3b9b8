#include "orchestrator/kubelet/hollow/hollow.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/kubelet/hollow/node_keeper.h"
#include "orchestrator/kubelet/hollow/node_object.h"
#include "orchestrator/kubelet/hollow/pages.h"
#include "orchestrator/kubelet/hollow/pod_keeper.h"
#include "orchestrator/kubelet/hollow/shared_random.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Node;

HollowNodes::Page Text(int code, std::string text) {
  return {.code = code, .content_type = "text/plain; charset=utf-8", .bytes = std::move(text)};
}

// Of nodes no more is read than whether they are ready, and what admission asks.
void TrimNode(google::protobuf::Message& object) {
  Node& node = static_cast<Node&>(object);
  Node kept;
  kept.mutable_metadata()->set_name(node.metadata().name());
  kept.mutable_metadata()->set_uid(node.metadata().uid());
  kept.mutable_metadata()->set_resource_version(node.metadata().resource_version());
  kept.mutable_metadata()->mutable_labels()->swap(*node.mutable_metadata()->mutable_labels());
  kept.mutable_spec()->mutable_taints()->Swap(node.mutable_spec()->mutable_taints());
  for (const kube::core::v1::NodeCondition& condition : node.status().conditions()) {
    if (condition.type() != "Ready") continue;
    kept.mutable_status()->add_conditions()->set_type("Ready");
    kept.mutable_status()->mutable_conditions(0)->set_status(condition.status());
  }
  node = std::move(kept);
}

class Hollow final : public HollowNodes {
 public:
  Hollow(const HollowOptions& options, kube::Client& client, kube::Executor& executor,
         Random& random, metrics::Registry* metrics)
      : options_(options),
        clock_(executor.clock()),
        started_(clock_.WallNow()),
        random_(random),
        recorder_(kube::NewEventRecorder(client, executor, {.component = "kubelet"})),
        informers_(kube::NewInformers(client, executor)),
        nodes_(options, client, executor, informers_->Of<Node>(), random_, metrics),
        pods_(options, {.client = client,
                        .executor = executor,
                        .informers = *informers_,
                        .recorder = *recorder_,
                        .random = random_,
                        .metrics = metrics,
                        .frozen = [this](int node) { return nodes_.frozen(node); }}) {
    informers_->Of<Node>().SetTransform(TrimNode);
    informers_->Start();
    nodes_.Start();
    pods_.Start();
  }
  ~Hollow() override { informers_->Stop(); }

  void SetFrozen(int node, bool frozen) override {
    nodes_.SetFrozen(node, frozen);
    if (!frozen) pods_.Resync(node);
  }
  void SetCpuMilli(absl::string_view ns, absl::string_view pod, int64_t cpu_milli) override {
    pods_.SetCpuMilli({std::string(ns), std::string(pod)}, cpu_milli);
  }
  size_t running_pods() const override { return pods_.running(); }
  size_t registered_nodes() const override { return nodes_.registered(); }

  Page Get(absl::string_view node, absl::string_view path) override {
    const int number = NodeOfAddress(options_, node);
    if (number < 0) return Text(404, absl::StrCat("no hollow node has the address ", node, "\n"));
    if (nodes_.frozen(number)) return Text(503, "the node does nothing\n");
    if (path == "/healthz") return Text(200, "ok");
    if (absl::ConsumePrefix(&path, "/containerLogs/")) return Log(number, path);
    const NodeStatistics statistics = StatisticsOf(number);
    if (path == "/stats/summary") {
      return {.code = 200, .content_type = "application/json", .bytes = SummaryJson(statistics)};
    }
    if (path == "/metrics/resource") {
      return {.code = 200,
              .content_type = "text/plain; version=0.0.4; charset=utf-8",
              .bytes = ResourceMetrics(statistics)};
    }
    if (path == "/pods") {
      return {.code = 200, .content_type = "application/json", .bytes = PodListJson(statistics)};
    }
    return Text(404, "404 page not found\n");
  }

 private:
  NodeStatistics StatisticsOf(int node) {
    const std::optional<kube::Quantity> memory = kube::Quantity::Parse(options_.memory);
    return {.name = NodeName(options_, node),
            .now = clock_.WallNow(),
            .start_time_s = UnixSeconds(started_),
            .memory_capacity_bytes = memory.has_value() ? memory->Value() : 0,
            .pods = pods_.UseOf(node)};
  }

  // `path`: "NS/POD/CONTAINER".
  Page Log(int node, absl::string_view path) {
    const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
    if (parts.size() != 3) return Text(404, "404 page not found\n");
    for (const PodUse& use : pods_.UseOf(node)) {
      const auto& meta = use.pod->metadata();
      if (meta.namespace_() != parts[0] || meta.name() != parts[1]) continue;
      return Text(200, absl::StrCat("This pod runs on the hollow node ", NodeName(options_, node),
                                    ": container ", parts[2],
                                    " has no process, so it has nothing to log.\n"));
    }
    return Text(404, absl::StrCat("pod ", Quoted(parts[1]), " not found\n"));
  }
  static std::string Quoted(absl::string_view text) { return absl::StrCat("\"", text, "\""); }

  const HollowOptions options_;
  const Clock& clock_;
  const WallTime started_;
  SharedRandom random_;
  std::unique_ptr<kube::EventRecorder> recorder_;
  std::unique_ptr<kube::Informers> informers_;
  HollowNodeKeeper nodes_;
  PodKeeper pods_;
};

}  // namespace

std::unique_ptr<HollowNodes> StartHollowNodes(const HollowOptions& options, kube::Client& client,
                                              kube::Executor& executor, Random& random,
                                              metrics::Registry* metrics) {
  return std::make_unique<Hollow>(options, client, executor, random, metrics);
}

}  // namespace meltemi::kubelet
