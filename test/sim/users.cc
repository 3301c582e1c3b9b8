#include "test/sim/users.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "kube/object/object.h"

namespace meltemi::sim {
namespace {

using json::Value;

constexpr absl::string_view kApps = "/apis/apps/v1";
constexpr absl::string_view kBatch = "/apis/batch/v1";
constexpr absl::string_view kCore = "/api/v1";
constexpr absl::string_view kPolicy = "/apis/policy/v1";
// So that everything fits on the nodes, and a seed takes no longer than it must.
constexpr size_t kWorkloadsMax = 4;  // of a kind
constexpr int kReplicasMax = 5;

std::string PathOf(absl::string_view root, absl::string_view ns, absl::string_view plural,
                   absl::string_view name = "") {
  return absl::StrCat(root, "/namespaces/", ns, "/", plural, name.empty() ? "" : "/", name);
}

std::string PathOf(absl::string_view root, absl::string_view plural, const Value& object) {
  return PathOf(root, kube::Namespace(object), plural, kube::Name(object));
}

// Pods leave nodes that are gone after a short while, and end soon when they are told to.
std::string TemplateYaml(absl::string_view app, absl::string_view pod_more,
                         absl::string_view annotations = "", absl::string_view labels = "") {
  const absl::string_view away = "operator: Exists, effect: NoExecute, tolerationSeconds: 20";
  return absl::StrCat("{metadata: {labels: {app: ", app, labels, "}, annotations: {", annotations,
                      "}}, spec: {terminationGracePeriodSeconds: 5, tolerations: [",
                      "{key: node.kubernetes.io/not-ready, ", away,
                      "}, {key: node.kubernetes.io/unreachable, ", away, "}], ", pod_more,
                      "containers: [{name: c, image: 'v1', resources: {requests: {cpu: 500m, ",
                      "memory: 256Mi}}}]}}");
}

}  // namespace

Users::Users(kube::Client& user, kube::Client& drainer, Random& random, const Abilities& abilities,
             std::function<void(const std::string&)> tell)
    : user_(user),
      drainer_(drainer),
      random_(random),
      abilities_(abilities),
      tell_(std::move(tell)) {}

bool Users::Send(absl::string_view method, const std::string& path, const std::string& yaml,
                 absl::string_view content_type) {
  std::string body;
  if (!yaml.empty()) {
    const absl::StatusOr<Value> tree = yaml::Parse(yaml);
    body = tree.ok() ? json::ToString(*tree) : yaml;
  }
  const kube::Result<kube::ApiAnswer> answer =
      user_.Call({.method = std::string(method),
                  .path = path,
                  .query = {{"fieldValidation", "Strict"}},
                  .body = body,
                  .content_type = std::string(content_type)});
  tell_(absl::StrCat(method, " ", path, " ", yaml, answer.ok() ? "" : "  -> ",
                     answer.ok() ? "" : answer.status().message));
  return answer.ok();
}

std::string Users::NewName(absl::string_view prefix) { return absl::StrCat(prefix, ++names_); }

std::string Users::SomeNamespace() {
  if (abilities_.namespaces && Chance(0.3)) {
    const std::vector<Value> all = ListOf(kCore, "namespaces");
    if (const Value* const one = Pick(all); one != nullptr) return std::string(kube::Name(*one));
  }
  return "default";
}

std::vector<Value> Users::ListOf(absl::string_view root, absl::string_view plural) {
  const kube::Result<kube::ApiAnswer> answer =
      user_.Call({.path = absl::StrCat(root, "/", plural)});
  std::vector<Value> out;
  if (!answer.ok()) return out;
  absl::StatusOr<Value> list = json::Parse(answer->body);
  Value* const items = list.ok() ? list->Find("items") : nullptr;
  if (items == nullptr) return out;
  for (Value& item : items->items()) {
    const absl::string_view where =
        plural == "namespaces" ? kube::Name(item) : kube::Namespace(item);
    if (absl::StartsWith(where, "kube-")) continue;
    if (!kube::TextAt(item, "metadata.deletionTimestamp").empty()) continue;
    out.push_back(std::move(item));
  }
  return out;
}

const Value* Users::Pick(const std::vector<Value>& objects) {
  return objects.empty() ? nullptr : &objects[random_.Below(objects.size())];
}

void Users::ActOnce() {
  struct Action {
    int weight;
    bool possible;
    void (Users::*act)();
  };
  const bool workloads = abilities_.deployments || abilities_.stateful_sets;
  const Action actions[] = {
      {8, true, &Users::CreateSomething},
      {6, true, &Users::Scale},
      {6, workloads, &Users::ChangeTemplate},
      {2, abilities_.deployments, &Users::PauseOrResume},
      {2, abilities_.deployments, &Users::Undo},
      {5, true, &Users::DeletePod},
      {2, true, &Users::DeleteWorkload},
      {1, abilities_.namespaces && abilities_.garbage, &Users::DeleteNamespace},
      {2, abilities_.scheduler && abilities_.budgets, &Users::Drain},
      {3, abilities_.scheduler && abilities_.budgets, &Users::Uncordon},
  };
  int sum = 0;
  for (const Action& action : actions) sum += action.possible ? action.weight : 0;
  int at = Between(0, sum - 1);
  for (const Action& action : actions) {
    if (!action.possible) continue;
    at -= action.weight;
    if (at < 0) return (this->*action.act)();
  }
}

void Users::CreateMuch() {
  for (int i = 0; i < 8; ++i) CreateSomething();
}

void Users::CreateSomething() {
  struct Kind {
    bool possible;
    void (Users::*create)();
  };
  const Kind kinds[] = {
      {abilities_.deployments, &Users::CreateDeployment},
      {abilities_.deployments, &Users::CreateDeployment},
      {true, &Users::CreateReplicaSet},
      {abilities_.stateful_sets, &Users::CreateStatefulSet},
      {abilities_.daemon_sets, &Users::CreateDaemonSet},
      {abilities_.jobs, &Users::CreateJob},
      {abilities_.cron_jobs, &Users::CreateCronJob},
      {abilities_.namespaces, &Users::CreateNamespace},
      {abilities_.services, &Users::CreateService},
  };
  const Kind& kind = kinds[random_.Below(std::size(kinds))];
  if (kind.possible) (this->*kind.create)();
}

void Users::CreateDeployment() {
  if (ListOf(kApps, "deployments").size() >= kWorkloadsMax) return;
  const std::string name = NewName("web"), ns = SomeNamespace();
  const bool impossible = Chance(0.1);
  const std::string strategy =
      Chance(0.15) ? "{type: Recreate}"
                   : absl::StrCat("{rollingUpdate: {maxSurge: ", Chance(0.5) ? "25%" : "1",
                                  ", maxUnavailable: ", Chance(0.5) ? "25%" : "0", "}}");
  const std::string delay =
      Chance(0.5) ? "hollow.meltemi.io/ready-delay: 3s" : "hollow.meltemi.io/start-delay: 1s";
  Send("POST", PathOf(kApps, ns, "deployments"),
       absl::StrCat("{metadata: {name: ", name, ", labels: {",
                    impossible ? absl::StrCat(kImpossibleLabel, ": 'yes'") : "",
                    "}}, spec: {replicas: ", Between(0, kReplicasMax), ", strategy: ", strategy,
                    ", revisionHistoryLimit: ", Between(0, 3),
                    ", selector: {matchLabels: {app: ", name, "}}, template: ",
                    TemplateYaml(name, impossible ? "nodeSelector: {never: found}, " : "", delay,
                                 impossible ? absl::StrCat(", ", kImpossibleLabel, ": 'yes'") : ""),
                    "}}"));
  if (!abilities_.budgets || impossible || !Chance(0.5)) return;
  Send("POST", PathOf(kPolicy, ns, "poddisruptionbudgets"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {",
                    Chance(0.5) ? "maxUnavailable: 1" : "minAvailable: 50%",
                    ", selector: {matchLabels: {app: ", name, "}}}}"));
}

void Users::CreateReplicaSet() {
  if (ListOf(kApps, "replicasets").size() >= 2 * kWorkloadsMax) return;
  const std::string name = NewName("set");
  Send("POST", PathOf(kApps, SomeNamespace(), "replicasets"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {replicas: ", Between(0, kReplicasMax),
                    ", selector: {matchLabels: {app: ", name,
                    "}}, template: ", TemplateYaml(name, ""), "}}"));
}

void Users::CreateStatefulSet() {
  if (ListOf(kApps, "statefulsets").size() >= kWorkloadsMax) return;
  const std::string name = NewName("db");
  Send("POST", PathOf(kApps, SomeNamespace(), "statefulsets"),
       absl::StrCat(
           "{metadata: {name: ", name, "}, spec: {serviceName: ", name,
           ", replicas: ", Between(0, 4), Chance(0.3) ? ", podManagementPolicy: Parallel" : "",
           ", selector: {matchLabels: {app: ", name,
           "}}, template: ", TemplateYaml(name, "", "hollow.meltemi.io/start-delay: 1s"), "}}"));
}

void Users::CreateDaemonSet() {
  if (ListOf(kApps, "daemonsets").size() >= 2) return;
  const std::string name = NewName("agent");
  Send("POST", PathOf(kApps, SomeNamespace(), "daemonsets"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {selector: {matchLabels: {app: ", name,
                    "}}, template: ", TemplateYaml(name, ""), "}}"));
}

void Users::CreateJob() {
  if (ListOf(kBatch, "jobs").size() >= 2 * kWorkloadsMax) return;
  const std::string name = NewName("job");
  const int completions = Between(1, kReplicasMax);
  Send("POST", PathOf(kBatch, SomeNamespace(), "jobs"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {completions: ", completions,
                    ", parallelism: ", Between(1, completions), ", backoffLimit: ", Between(0, 3),
                    Chance(0.4) ? ", completionMode: Indexed" : "",
                    Chance(0.3) ? ", ttlSecondsAfterFinished: 30" : "", ", template: ",
                    TemplateYaml(name, "restartPolicy: Never, ",
                                 Chance(0.4) ? "hollow.meltemi.io/failure-rate: '0.3'" : ""),
                    "}}"));
}

void Users::CreateCronJob() {
  if (ListOf(kBatch, "cronjobs").size() >= 2) return;
  const std::string name = NewName("cron");
  Send("POST", PathOf(kBatch, SomeNamespace(), "cronjobs"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {schedule: '* * * * *', ",
                    "concurrencyPolicy: ", Chance(0.7) ? "Forbid" : "Replace",
                    ", successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 1, jobTemplate: ",
                    "{spec: {template: ",
                    TemplateYaml(name, "restartPolicy: Never, ",
                                 Chance(0.5) ? "hollow.meltemi.io/run-for: 90s" : ""),
                    "}}}}"));
}

void Users::CreateService() {
  const std::vector<Value> deployments = ListOf(kApps, "deployments");
  const Value* const deployment = Pick(deployments);
  if (deployment == nullptr) return;
  const std::string name(kube::Name(*deployment));
  Send("POST", PathOf(kCore, kube::Namespace(*deployment), "services"),
       absl::StrCat("{metadata: {name: ", name, "}, spec: {selector: {app: ", name,
                    "}, ports: [{port: 80}]}}"));
}

void Users::CreateNamespace() {
  if (ListOf(kCore, "namespaces").size() >= 3) return;
  Send("POST", absl::StrCat(kCore, "/namespaces"),
       absl::StrCat("{metadata: {name: ", NewName("team"), "}}"));
}

void Users::Scale() {
  const bool sets = Chance(0.3);
  std::vector<Value> all = ListOf(kApps, sets ? "statefulsets" : "deployments");
  std::string plural = sets ? "statefulsets" : "deployments";
  if (all.empty() || Chance(0.2)) {
    plural = "replicasets";
    all = ListOf(kApps, plural);
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](const Value& set) {
                               return set.Find("metadata", "ownerReferences") != nullptr;
                             }),
              all.end());
  }
  const Value* const one = Pick(all);
  if (one == nullptr) return;
  Patch(PathOf(kApps, plural, *one),
        absl::StrCat("{spec: {replicas: ", Between(0, kReplicasMax), "}}"));
}

void Users::ChangeTemplate() {
  const absl::string_view plurals[] = {"deployments", "deployments", "statefulsets", "daemonsets"};
  const absl::string_view plural = plurals[random_.Below(std::size(plurals))];
  const std::vector<Value> all = ListOf(kApps, plural);
  const Value* const one = Pick(all);
  if (one == nullptr) return;
  Send("PATCH", PathOf(kApps, plural, *one),
       absl::StrCat("{spec: {template: {spec: {containers: [{name: c, image: 'v", Between(1, 5),
                    "'}]}}}}"),
       "application/strategic-merge-patch+json");
}

void Users::PauseOrResume() {
  const std::vector<Value> all = ListOf(kApps, "deployments");
  const Value* const one = Pick(all);
  if (one == nullptr) return;
  const bool paused = kube::BoolAt(*one, "spec.paused", false);
  Patch(PathOf(kApps, "deployments", *one),
        absl::StrCat("{spec: {paused: ", paused ? "null" : "true", "}}"));
}

// What `kubectl rollout undo` does: the template of an older ReplicaSet, without its hash.
void Users::Undo() {
  const std::vector<Value> deployments = ListOf(kApps, "deployments");
  const Value* const deployment = Pick(deployments);
  if (deployment == nullptr || kube::BoolAt(*deployment, "spec.paused", false)) return;
  std::vector<Value> sets = ListOf(kApps, "replicasets");
  const std::string app = kube::TextAt(*deployment, "spec.selector.matchLabels.app");
  sets.erase(std::remove_if(sets.begin(), sets.end(),
                            [&](const Value& set) {
                              return kube::TextAt(set, "spec.selector.matchLabels.app") != app ||
                                     kube::Namespace(set) != kube::Namespace(*deployment);
                            }),
             sets.end());
  const Value* const set = Pick(sets);
  if (set == nullptr) return;
  Value old = *set->Find("spec", "template");
  old.MutableObject("metadata").MutableObject("labels").Remove("pod-template-hash");
  Send("PATCH", PathOf(kApps, "deployments", *deployment),
       absl::StrCat("[{\"op\":\"replace\",\"path\":\"/spec/template\",\"value\":",
                    json::ToString(old), "}]"),
       "application/json-patch+json");
}

void Users::DeletePod() {
  const std::vector<Value> pods = ListOf(kCore, "pods");
  const Value* const pod = Pick(pods);
  if (pod == nullptr) return;
  Send("DELETE", PathOf(kCore, "pods", *pod), Chance(0.1) ? "{gracePeriodSeconds: 0}" : "");
}

void Users::DeleteWorkload() {
  struct Kind {
    absl::string_view root, plural;
  };
  const Kind kinds[] = {{kApps, "deployments"}, {kApps, "deployments"}, {kApps, "statefulsets"},
                        {kApps, "daemonsets"},  {kBatch, "jobs"},       {kBatch, "cronjobs"},
                        {kApps, "replicasets"}};
  const Kind& kind = kinds[random_.Below(std::size(kinds))];
  const std::vector<Value> all = ListOf(kind.root, kind.plural);
  const Value* const one = Pick(all);
  // Without a garbage collector nobody would clear away what it owns.
  if (one == nullptr || !abilities_.garbage) return;
  const absl::string_view propagations[] = {"Background", "Background", "Foreground", "Orphan"};
  const absl::string_view propagation = propagations[random_.Below(std::size(propagations))];
  Send("DELETE", PathOf(kind.root, kind.plural, *one),
       absl::StrCat("{propagationPolicy: ", propagation, "}"));
}

void Users::DeleteNamespace() {
  const std::vector<Value> all = ListOf(kCore, "namespaces");
  const Value* const one = Pick(all);
  if (one == nullptr || kube::Name(*one) == "default") return;
  Send("DELETE", absl::StrCat(kCore, "/namespaces/", kube::Name(*one)), "");
}

void Users::Drain() {
  const std::vector<Value> nodes = ListOf(kCore, "nodes");
  const Value* const node = Pick(nodes);
  if (node == nullptr || !drained_.empty()) return;
  drained_.emplace_back(kube::Name(*node));
  Patch(absl::StrCat(kCore, "/nodes/", drained_.back()), "{spec: {unschedulable: true}}");
  GoOnDraining();
}

void Users::GoOnDraining() {
  if (drained_.empty()) return;
  for (const Value& pod : ListOf(kCore, "pods")) {
    const std::string node = kube::TextAt(pod, "spec.nodeName");
    if (std::find(drained_.begin(), drained_.end(), node) == drained_.end()) continue;
    const Value* const owners = pod.Find("metadata", "ownerReferences");
    const bool daemon = owners != nullptr && !owners->items().empty() &&
                        owners->items().front().FindString("kind") == "DaemonSet";
    if (daemon) continue;
    const std::string name(kube::Name(pod)), ns(kube::Namespace(pod));
    const kube::Result<kube::ApiAnswer> answer = drainer_.Call(
        {.method = "POST",
         .path = absl::StrCat(PathOf(kCore, "pods", pod), "/eviction"),
         .body = absl::StrCat(R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":")",
                              name, R"(","namespace":")", ns, R"("}})")});
    tell_(absl::StrCat("evict ", ns, "/", name, answer.ok() ? "" : "  -> ",
                       answer.ok() ? "" : answer.status().message));
  }
}

void Users::Uncordon() {
  if (drained_.empty()) return;
  if (Patch(absl::StrCat(kCore, "/nodes/", drained_.back()), "{spec: {unschedulable: null}}")) {
    drained_.pop_back();
  }
}

void Users::Tidy() {
  while (!drained_.empty()) Uncordon();
  for (const Value& deployment : ListOf(kApps, "deployments")) {
    if (!kube::BoolAt(deployment, "spec.paused", false)) continue;
    Patch(PathOf(kApps, "deployments", deployment), "{spec: {paused: null}}");
  }
  for (const Value& cron : ListOf(kBatch, "cronjobs")) {
    Patch(PathOf(kBatch, "cronjobs", cron), "{spec: {suspend: true}}");
  }
}

}  // namespace meltemi::sim
