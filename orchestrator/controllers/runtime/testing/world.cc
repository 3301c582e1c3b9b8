#include "orchestrator/controllers/runtime/testing/world.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;

// More rounds than any test needs: something feeds itself.
constexpr int kRoundsMax = 10'000;

absl::StatusOr<json::Value> Tree(absl::string_view text) { return yaml::Parse(text); }

std::string Seconds(WallTime time) {
  return absl::FormatTime(
      "%Y-%m-%dT%H:%M:%SZ",
      absl::FromUnixSeconds(std::chrono::duration_cast<seconds>(time.time_since_epoch()).count()),
      absl::UTCTimeZone());
}

}  // namespace

World::World(std::optional<uint64_t> executor_seed)
    : executor_(executor_seed.has_value() ? std::make_unique<kube::ExecutorFake>(*executor_seed)
                                          : std::make_unique<kube::ExecutorFake>()),
      api_(apiserver::NewMemoryApi(executor_->clock(), random_)),
      user_process_(api_->NewProcess("kubernetes-admin")) {
  Begin();
}

World::~World() { End(); }

void World::Begin() {
  process_ = api_->NewProcess("system:kube-controller-manager");
  informers_ = kube::NewInformers(process_->client(), *executor_);
  context_.reset(new Context{
      .client = process_->client(),
      .informers = *informers_,
      .executor = *executor_,
      .recorder = [this](absl::string_view) -> kube::EventRecorder& { return recorder_; },
      .random = random_});
}

void World::End() {
  informers_->Stop();
  controllers_.clear();
  context_.reset();
  informers_.reset();
  process_.reset();
}

Running& World::Run(std::unique_ptr<Running> controller) {
  controllers_.push_back(std::move(controller));
  informers_->Start();
  Settle();
  EXPECT_TRUE(informers_->synced()) << informers_->Waiting();
  controllers_.back()->Start();
  Settle();
  return *controllers_.back();
}

void World::Restart(const std::function<std::unique_ptr<Running>(Context&)>& make) {
  process_->Disconnect();
  End();
  Begin();
  Run(make(context()));
}

void World::Settle() {
  for (int round = 0; round < kRoundsMax; ++round) {
    if (!executor_->RunReady()) break;
    if (api_->undelivered() == 0) return;
    api_->DeliverAll();
  }
  ADD_FAILURE() << "something feeds itself: work never ends";
}

void World::Advance(Duration by) {
  const MonotonicTime end = executor_->clock().Now() + by;
  Settle();
  while (executor_->AdvanceToNext(end)) Settle();
  executor_->fake_clock().Advance(end - executor_->clock().Now());
}

kube::Result<kube::ApiAnswer> World::Post(const kube::ApiResource& resource,
                                          absl::string_view text) {
  const absl::StatusOr<json::Value> tree = Tree(text);
  if (!tree.ok()) return kube::BadRequest(tree.status().message());
  std::string ns = "default";
  const json::Value* const given = tree->Find("metadata", "namespace");
  if (given != nullptr) ns = std::string(given->text());
  return user().Call({.method = "POST",
                      .path = resource.Path(resource.namespaced ? ns : ""),
                      .query = {{"fieldValidation", "Strict"}},
                      .body = json::ToString(*tree)});
}

void World::CreateInto(const kube::ApiResource& resource, absl::string_view text,
                       google::protobuf::Message* out) {
  const kube::Result<kube::ApiAnswer> answer = Post(resource, text);
  ASSERT_TRUE(answer.ok()) << answer.status().message << "\n" << text;
  const absl::Status decoded = kube::FromJson(answer->body, out);
  EXPECT_TRUE(decoded.ok()) << decoded.message();
}

kube::Status World::CreateStatus(const kube::ApiResource& resource, absl::string_view text) {
  const kube::Result<kube::ApiAnswer> answer = Post(resource, text);
  EXPECT_FALSE(answer.ok()) << text;
  return answer.ok() ? kube::Status{.code = 200} : answer.status();
}

void World::PatchInto(const kube::ApiResource& resource, absl::string_view ns,
                      absl::string_view name, absl::string_view subresource, absl::string_view text,
                      google::protobuf::Message* out) {
  const absl::StatusOr<json::Value> tree = Tree(text);
  ASSERT_TRUE(tree.ok()) << tree.status().message();
  const kube::Result<kube::ApiAnswer> answer =
      user().Call({.method = "PATCH",
                   .path = resource.Path(resource.namespaced ? ns : "", name, subresource),
                   .query = {{"fieldValidation", "Strict"}},
                   .body = json::ToString(*tree),
                   .content_type = "application/merge-patch+json"});
  ASSERT_TRUE(answer.ok()) << answer.status().message << "\n" << text;
  const absl::Status decoded = kube::FromJson(answer->body, out);
  EXPECT_TRUE(decoded.ok()) << decoded.message();
}

void World::AddNode(absl::string_view name, absl::string_view labels_yaml) {
  const std::string resources = "{cpu: '8', memory: 32Gi, pods: '110'}";
  const kube::ApiResource nodes{"", "v1", "nodes", "Node", false};
  kube::Result<kube::ApiAnswer> made =
      Post(nodes, absl::StrCat("{apiVersion: v1, kind: Node, metadata: {name: ", name,
                               ", labels: ", labels_yaml, "}, status: {capacity: ", resources,
                               ", allocatable: ", resources,
                               ", conditions: [{type: Ready, status: 'True'}]}}"));
  ASSERT_TRUE(made.ok()) << made.status().message;
  // Admission taints nodes until the node controller finds them ready.
  made = user().Call({.method = "PATCH",
                      .path = nodes.Path("", name),
                      .body = R"({"spec":{"taints":null}})",
                      .content_type = "application/merge-patch+json"});
  ASSERT_TRUE(made.ok()) << made.status().message;
}

void World::RunPods(absl::string_view node) {
  for (const Pod& pod : List<Pod>()) {
    const kube::meta::v1::ObjectMeta& meta = pod.metadata();
    if (meta.has_deletion_timestamp() || pod.status().phase() == "Succeeded" ||
        pod.status().phase() == "Failed") {
      continue;
    }
    if (pod.spec().node_name().empty()) {
      const kube::Result<kube::ApiAnswer> bound = user().Call(
          {.method = "POST",
           .path = kube::ResourceOf<Pod>().Path(meta.namespace_(), meta.name(), "binding"),
           .body = absl::StrCat(R"({"metadata":{"name":")", meta.name(),
                                R"("},"target":{"kind":"Node","name":")", node, R"("}})")});
      EXPECT_TRUE(bound.ok()) << bound.status().message;
    }
    SetPodReady(meta.name(), true, meta.namespace_());
  }
  Settle();
}

void World::SetPodReady(absl::string_view name, bool ready, absl::string_view ns) {
  const Pod pod = Get<Pod>(name, ns);
  for (const auto& condition : pod.status().conditions()) {
    if (condition.type() == "Ready" && condition.status() == (ready ? "True" : "False")) return;
  }
  const std::string now = Seconds(executor_->clock().WallNow());
  const absl::string_view status = ready ? "'True'" : "'False'";
  Patch<Pod>(
      name,
      absl::StrCat("{status: {phase: Running, startTime: '", now,
                   "', podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}], conditions: [",
                   "{type: Initialized, status: 'True'}, {type: PodScheduled, status: ",
                   "'True'}, {type: ContainersReady, status: ", status,
                   "}, {type: Ready, status: ", status, ", lastTransitionTime: '", now, "'}]}}"),
      "status", ns);
}

void World::FinishPod(absl::string_view name, absl::string_view phase, absl::string_view ns) {
  const std::string now = Seconds(executor_->clock().WallNow());
  const bool failed = phase == "Failed";
  std::string containers;
  const Pod pod = Get<Pod>(name, ns);
  for (const auto& container : pod.spec().containers()) {
    absl::StrAppend(&containers, containers.empty() ? "" : ", ", "{name: ", container.name(),
                    ", ready: false, restartCount: 0, image: i, imageID: i, state: {terminated: ",
                    "{exitCode: ", failed ? 1 : 0, ", finishedAt: '", now, "', startedAt: '", now,
                    "', reason: ", failed ? "Error" : "Completed", "}}}");
  }
  Patch<Pod>(name,
             absl::StrCat("{status: {phase: ", phase, ", containerStatuses: [", containers,
                          "], conditions: [{type: Ready, status: 'False', lastTransitionTime: '",
                          now, "'}]}}"),
             "status", ns);
}

void World::ReapPods() {
  for (const Pod& pod : List<Pod>()) {
    if (!pod.metadata().has_deletion_timestamp()) continue;
    Delete<Pod>(pod.metadata().name(), {.grace_period_seconds = 0}, pod.metadata().namespace_());
  }
  Settle();
}

}  // namespace meltemi::controllers
