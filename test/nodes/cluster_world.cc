#include "test/nodes/cluster_world.h"

#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/value.h"

namespace meltemi::nodes {
namespace {

using machine::Eventually;
using machine::Finished;
using std::chrono::seconds;

constexpr seconds kSettleMax(60);

// wrk in the sleep pod, on its own: it goes on whatever happens to the API server. On a signal it
// ends and says what it has seen.
constexpr char kBeginLoad[] =
    "kubectl exec deploy/sleep -c sleep -- sh -c 'rm -f /tmp/load.log; wrk -c $CONNECTIONS -t 1 -d "
    "300s $URL > /tmp/load.log 2>&1 & echo $! > /tmp/load.pid'";
constexpr char kEndLoad[] =
    "kubectl exec deploy/sleep -c sleep -- sh -c 'kill -INT $(cat /tmp/load.pid); for i in $(seq "
    "400); do grep -q Requests/sec /tmp/load.log && break; sleep 0.05; done; cat /tmp/load.log'";

class PodLoad final : public scenarios::World::Load {
 public:
  explicit PodLoad(const Cluster& cluster) : cluster_(cluster) {}
  machine::LoadResult Stop() override { return machine::ParseWrk(cluster_.Out(kEndLoad)); }

 private:
  const Cluster& cluster_;
};

// The condition of that type that is about the object's present version; null: none yet.
const json::Value* Condition(const json::Value& object, absl::string_view type) {
  const json::Value* generation = object.Find("metadata", "generation");
  const json::Value* conditions = object.Find("status", "conditions");
  if (generation == nullptr || conditions == nullptr) return nullptr;
  for (const json::Value& condition : conditions->items()) {
    const json::Value* observed = condition.Find("observedGeneration");
    if (condition.FindString("type") == type && observed != nullptr &&
        observed->text() == generation->text()) {
      return &condition;
    }
  }
  return nullptr;
}

// Enforced by every proxy that it concerns, or held back by what it still lacks: nothing more
// happens by itself.
bool IsSettled(const json::Value& object) {
  if (!absl::StartsWith(object.FindString("apiVersion"), "networking.istio.io/")) return true;
  const json::Value* accepted = Condition(object, "Accepted");
  if (accepted == nullptr) return false;
  if (accepted->FindString("status") == "False") return true;
  const json::Value* programmed = Condition(object, "Programmed");
  return programmed != nullptr && programmed->FindString("status") == "True";
}

class ClusterWorld final : public scenarios::World {
 public:
  explicit ClusterWorld(const Cluster& cluster) : cluster_(cluster) {}

  Finished Exec(std::vector<std::string> argv, seconds timeout) override {
    const Answer answer = cluster_.Run(InSleep(std::move(argv)), timeout);
    return {answer.exit_status, answer.output};
  }

  std::unique_ptr<Load> StartLoad(const std::string& url, int connections) override {
    cluster_.Does(absl::StrReplaceAll(
        kBeginLoad, {{"$CONNECTIONS", absl::StrCat(connections)}, {"$URL", url}}));
    return std::make_unique<PodLoad>(cluster_);
  }

  std::string AppLog(const std::string& workload) override {
    const std::string container = workload.substr(0, workload.find('-'));
    return cluster_.Out(
        absl::StrCat("kubectl logs deploy/", workload, " -c ", container, " --tail=-1"));
  }

  std::string Apply(const std::string& name, const std::string& yaml) override {
    const std::string file = File(name);
    machine::WriteFile(file, yaml);
    const Answer applied = cluster_.Shell("kubectl apply -f " + file);
    if (applied.exit_status != 0) return applied.output;
    std::string last;
    const bool settled = Eventually(
        [&] {
          last = cluster_.Out("kubectl get -o json -f " + file);
          return AllSettled(last);
        },
        kSettleMax);
    return settled ? "" : "not enforced: " + last;
  }

  std::string Delete(const std::string& name) override {
    const Answer objects = cluster_.Shell(absl::StrCat("kubectl get -o name -f ", File(name)));
    const Answer deleted = cluster_.Shell("kubectl delete --timeout=30s -f " + File(name));
    if (deleted.exit_status != 0) return deleted.output;
    // Nothing is left that could carry a condition: pilot is asked whether it has seen it go, and
    // whether the proxies have what is left.
    const bool settled = Eventually([&] { return IsGone(objects.output); }, kSettleMax);
    return settled ? "" : "still enforced: " + objects.output;
  }

  int64_t Stat(const std::string& part) override {
    int64_t sum = 0;
    const std::string stats = Exec({"curl", "-s", "localhost:15000/stats"}, seconds(30)).output;
    for (absl::string_view line : absl::StrSplit(stats, '\n')) {
      int64_t value = 0;
      const size_t colon = line.rfind(": ");
      if (absl::StrContains(line, part) && colon != absl::string_view::npos &&
          absl::SimpleAtoi(line.substr(colon + 2), &value)) {
        sum += value;
      }
    }
    return sum;
  }

  std::string AccessLog() override {
    return cluster_.Out("kubectl logs deploy/sleep -c istio-proxy --tail=-1");
  }

 private:
  static std::vector<std::string> InSleep(std::vector<std::string> argv) {
    std::vector<std::string> words = {"kubectl", "exec", "deploy/sleep", "-c", "sleep", "--"};
    words.insert(words.end(), argv.begin(), argv.end());
    return words;
  }
  std::string File(const std::string& name) const {
    return absl::StrCat(cluster_.folder(), "/", name, ".yaml");
  }

  static bool AllSettled(const std::string& text) {
    const auto tree = json::Parse(text);
    if (!tree.ok()) return false;
    const json::Value* items = tree->Find("items");
    if (items == nullptr) return IsSettled(*tree);
    for (const json::Value& item : items->items()) {
      if (!IsSettled(item)) return false;
    }
    return true;
  }

  // `names`: "virtualservice.networking.istio.io/flaskapp", one per line.
  bool IsGone(const std::string& names) const {
    const std::string known = cluster_.Pilot("/debug/configz");
    for (absl::string_view name : absl::StrSplit(names, '\n', absl::SkipEmpty())) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(name, absl::MaxSplits('/', 1));
      const std::string kind(parts.first.substr(0, parts.first.find('.')));
      if (IsKnown(known, kind, parts.second)) return false;
    }
    return absl::StrContains(cluster_.Pilot("/debug/settled"), "\"settled\": true");
  }
  static bool IsKnown(const std::string& configz, const std::string& kind, absl::string_view name) {
    const auto tree = json::Parse(configz);
    if (!tree.ok()) return true;
    const json::Value* objects = tree->Find("objects");
    if (objects == nullptr) return true;
    for (const json::Value& object : objects->items()) {
      if (absl::EqualsIgnoreCase(object.FindString("kind"), kind) &&
          object.FindString("name") == name) {
        return true;
      }
    }
    return false;
  }

  const Cluster& cluster_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<scenarios::World>> StartClusterWorld(const Cluster& cluster,
                                                                    const std::string& folder) {
  for (const std::string& line :
       {std::string("kubectl label --overwrite namespace default istio-injection=enabled"),
        absl::StrCat("kubectl apply -f ", folder, "/10-flaskapp.yaml -f ", folder,
                     "/10-sleep.yaml -f ", folder, "/15-httpbin.yaml"),
        std::string("for d in flaskapp-v1 flaskapp-v2 sleep httpbin; do"
                    " kubectl rollout status deployment/$d --timeout=60s || exit 1; done")}) {
    const Answer answer = cluster.Shell(line);
    if (answer.exit_status != 0) {
      return absl::UnavailableError(
          absl::StrCat(line, ": ", answer.output, "\n", cluster.Out("kubectl describe pods")));
    }
  }
  // The applications have no probes: Ready says that they run, not that they listen yet.
  const bool listen = Eventually(
      [&] {
        return cluster
                   .Shell(
                       "kubectl exec deploy/sleep -c sleep -- curl -sf --fail-early -o /dev/null"
                       " 'http://flaskapp/env/version?n=[1-20]' http://httpbin:8000/get")
                   .exit_status == 0;
      },
      kSettleMax);
  if (!listen) return absl::UnavailableError("the applications do not answer");
  return std::make_unique<ClusterWorld>(cluster);
}

}  // namespace meltemi::nodes
