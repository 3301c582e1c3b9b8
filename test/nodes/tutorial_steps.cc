#include "test/nodes/tutorial_steps.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "test/machine/process.h"
#include "test/nodes/requests.h"

namespace meltemi::nodes {
namespace {

using machine::Eventually;
using std::chrono::seconds;

constexpr double kRequestsPerSecond = 100;
constexpr char kWeb[] = "test-web-deployment";
constexpr char kScaled[] = "test-scale-deployment";
constexpr char kPool[] = "192.0.2.10-192.0.2.20";

int Number(const std::string& text) {
  int number = -1;
  return absl::SimpleAtoi(text, &number) ? number : -1;
}

}  // namespace

// What a step does: the first thing that goes wrong is kept.
class TutorialSteps::Notes {
 public:
  Notes(const Cluster& cluster, std::string step) : cluster_(cluster), step_(std::move(step)) {}

  std::string Does(const std::string& line) {
    const Answer answer = cluster_.Shell(line);
    if (answer.exit_status != 0) Trouble(absl::StrCat(line, ": ", answer.output));
    return answer.output;
  }
  void Trouble(const std::string& text) {
    if (trouble_.empty()) trouble_ = text;
  }
  void Add(const std::string& asked, const std::string& measured, bool passed) {
    rows_.push_back({step_, asked, measured, passed && trouble_.empty()});
    if (!trouble_.empty()) rows_.back().measured += "; " + std::exchange(trouble_, "");
  }
  void Add(Row row) {
    row.step = step_;
    rows_.push_back(std::move(row));
  }
  std::vector<Row> Take() {
    if (!trouble_.empty()) Add("clean up", "", false);
    return std::move(rows_);
  }

 private:
  const Cluster& cluster_;
  const std::string step_;
  std::string trouble_;
  std::vector<Row> rows_;
};

TutorialSteps::TutorialSteps(const Cluster& cluster, std::string folder)
    : cluster_(cluster),
      folder_(std::move(folder)),
      node_ip_(cluster.NodeIp(cluster.NodeNames().front())) {}

std::vector<std::string> TutorialSteps::ClusterArgs() {
  return {absl::StrCat("--controller-manager-arg=--load-balancer-pool=", kPool),
          "--controller-manager-arg=--horizontal-pod-autoscaler-downscale-stabilization=5s"};
}

std::vector<std::string> TutorialSteps::Images() {
  return {"nginx-1.10", "nginx-1.11", "test.web", "busybox"};
}

std::string TutorialSteps::ApplyImage(const std::string& image) const {
  return cluster_
      .Shell(absl::StrCat("sed 's/nginx:1.10/", image, "/' ", File("02-deployment.yaml"),
                          " | kubectl apply --record -f - 2>/dev/null"))
      .output;
}

std::string TutorialSteps::WaitForRollout(const std::string& name) const {
  const std::string said =
      cluster_.Out(absl::StrCat("kubectl rollout status deployment/", name, " --timeout=120s"));
  return absl::StrContains(said, "successfully rolled out") ? "" : said;
}

// The last of the old pods is out of the node's rules a moment after the rollout's end.
bool TutorialSteps::AnswersAs(const char* version, const std::string& ip, int port) const {
  return Eventually([&] { return absl::StrContains(Ask(ip, port, "/").server, version); },
                    seconds(10));
}

void TutorialSteps::Delete(const std::string& what) const {
  cluster_.Shell("kubectl delete --ignore-not-found --timeout=60s " + what);
}

Row TutorialSteps::UnderLoad(const std::string& step, const std::string& what,
                             const std::function<std::string()>& change, size_t versions) const {
  Requests requests(node_ip_, 30044, kRequestsPerSecond, 4);
  Eventually([&] { return requests.sent() > 50; }, seconds(10));
  std::string trouble = change();
  trouble += WaitForRollout(kWeb);
  const int64_t sent = requests.sent();
  Eventually([&] { return requests.sent() > sent + 50; }, seconds(10));
  const RequestReport report = requests.Stop();
  return {step, absl::StrCat(what, " at ", kRequestsPerSecond, " requests/s: none fails"),
          absl::StrCat(report.Text(), trouble),
          report.failures.empty() && report.requests > 100 && trouble.empty() &&
              (versions == 0 || report.server_names.size() == versions)};
}

std::vector<Row> TutorialSteps::CreateExposeScale() {
  Notes notes(cluster_, "01 deployment");
  notes.Does("kubectl apply -f " + File("01-deployment.yaml"));
  const std::string rollout = WaitForRollout(kWeb);
  notes.Add("kubectl apply, rollout status", rollout.empty() ? "rolled out" : rollout,
            rollout.empty());
  const std::string refused =
      cluster_.Out("kubectl apply -f " + File("01-service-without-port.yaml"));
  const size_t reason = refused.find("spec.ports[0].port: ");
  notes.Add("a Service without its port is refused",
            reason == std::string::npos ? refused : refused.substr(reason),
            reason != std::string::npos);
  notes.Does(absl::StrCat("kubectl expose deployment ", kWeb, " --port=80 --type=LoadBalancer"));
  const std::string ip =
      cluster_.Out(absl::StrCat("kubectl get service ", kWeb, " -o jsonpath={.spec.clusterIP}"));
  const bool answers = Eventually([&] { return Ask(ip, 80, "/").failure.empty(); }, seconds(10));
  const std::string balancer = cluster_.Out(absl::StrCat(
      "kubectl get service ", kWeb, " -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"));
  notes.Add("expose --type=LoadBalancer: both addresses answer", absl::StrCat(ip, ", ", balancer),
            answers && Ask(balancer, 80, "/").failure.empty());
  notes.Does(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas 2"));
  std::string trouble = WaitForRollout(kWeb);
  notes.Does(absl::StrCat("kubectl set image deployment/", kWeb, " nginx=nginx:1.11"));
  trouble += WaitForRollout(kWeb);
  const bool changed = AnswersAs("1.11", ip, 80);
  const bool described =
      absl::StrContains(notes.Does(absl::StrCat("kubectl describe deployment ", kWeb)),
                        "2 desired | 2 updated | 2 total | 2 available");
  notes.Add("scale --replicas 2, set image nginx:1.11",
            absl::StrCat(changed ? "1.11 answers" : "the old one answers",
                         described ? ", 2 available" : ", not 2 available", trouble),
            changed && described && trouble.empty());
  Delete(absl::StrCat("deployment ", kWeb));
  Delete(absl::StrCat("service ", kWeb));
  const bool gone =
      cluster_.Prints("kubectl get pods -l app=test-web-deployment -o name", "", seconds(30));
  notes.Add("kubectl delete", gone ? "no pod is left" : "pods are left", gone);
  return notes.Take();
}

std::vector<Row> TutorialSteps::UpdateUndoPause() {
  Notes notes(cluster_, "02-05 rollouts");
  notes.Does("kubectl apply -f " + File("02-deployment.yaml"));
  notes.Does("kubectl apply -f " + File("03-nodeport-service.yaml"));
  const std::string rollout = WaitForRollout(kWeb);
  const bool answers =
      Eventually([&] { return Ask(node_ip_, 30044, "/").failure.empty(); }, seconds(10));
  notes.Add("10 replicas, NodePort 30044", answers ? "answers" : rollout,
            answers && rollout.empty());
  notes.Add(UnderLoad(
      "", "rolling update",
      [this] {
        ApplyImage("nginx:1.11");
        return "";
      },
      2));
  const std::string history =
      cluster_.Out(absl::StrCat("kubectl rollout history deployment/", kWeb));
  const bool recorded = absl::StrContains(history, "kubectl apply --record=true --filename=-");
  notes.Add("rollout history shows the change-cause", recorded ? "it does" : history,
            recorded && AnswersAs("1.11", node_ip_, 30044));
  const auto rollout_verb = [this](const char* verb) {
    const Answer answer =
        cluster_.Shell(absl::StrCat("kubectl rollout ", verb, " deployment/", kWeb));
    return answer.exit_status == 0 ? std::string() : answer.output;
  };
  notes.Add(UnderLoad("", "undo", [&] { return rollout_verb("undo"); }));
  notes.Add("nginx:1.10 is back", "", AnswersAs("1.10", node_ip_, 30044));
  notes.Add(UnderLoad("", "scaling to 2 and to 6", [&] {
    cluster_.Shell(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas=2"));
    const std::string trouble = WaitForRollout(kWeb);
    cluster_.Shell(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas=6"));
    return trouble;
  }));
  std::string trouble = rollout_verb("pause");
  ApplyImage("nginx:1.11");
  notes.Add("paused: the new image waits", trouble,
            AnswersAs("1.10", node_ip_, 30044) && trouble.empty());
  notes.Add(UnderLoad("", "resume", [&] { return rollout_verb("resume"); }));
  notes.Add("nginx:1.11 answers", "", AnswersAs("1.11", node_ip_, 30044));
  Delete(absl::StrCat("deployment ", kWeb));
  Delete("service test-web-svc");
  return notes.Take();
}

std::vector<Row> TutorialSteps::ScaleUnderLoad() {
  Notes notes(cluster_, "06, 19 autoscaling");
  notes.Does(absl::StrCat("kubectl apply -f ", File("06-hpa-deployment.yaml"), " -f ",
                          File("06-hpa-service.yaml"), " -f ", File("06-hpa.yaml")));
  const std::string rollout = WaitForRollout(kScaled);
  const bool shown = Eventually(
      [&] { return absl::StrContains(cluster_.Out("kubectl top pod"), kScaled); }, seconds(60));
  notes.Add("kubectl top pod shows CPU", shown ? "it does" : rollout, shown && rollout.empty());
  const std::string replicas =
      absl::StrCat("kubectl get deployment ", kScaled, " -o jsonpath={.spec.replicas}");
  int highest = 1;
  {
    const auto load = cluster_.Start(
        {"wrk", "-c", "8", "-t", "1", "-d", "120", absl::StrCat("http://", node_ip_, ":30077/")},
        cluster_.folder() + "/wrk.log");
    if (!load.ok()) notes.Trouble(std::string(load.status().message()));
    Eventually(
        [&] {
          highest = std::max(highest, Number(cluster_.Out(replicas)));
          return highest > 1;
        },
        seconds(100));
  }
  notes.Add("load: replicas rise above 1", absl::StrCat(highest, " replicas"), highest > 1);
  // fortio load -c 8 -qps 500
  Requests requests(node_ip_, 30077, 500, 8);
  Eventually([&] { return requests.sent() > 5000; }, seconds(30));
  const RequestReport report = requests.Stop();
  notes.Add("500 requests/s on 8 connections are served", report.Text(),
            report.failures.empty() && report.requests >= 5000);
  const bool back = cluster_.Prints(replicas, "1", seconds(120));
  notes.Add("and fall back afterwards", cluster_.Out(replicas), back);
  Delete("hpa test-scale-hpa");
  Delete(absl::StrCat("deployment ", kScaled));
  Delete("service test-scale-svc");
  return notes.Take();
}

std::vector<Row> TutorialSteps::Probes() {
  Notes notes(cluster_, "07 probes");
  notes.Does("kubectl apply -f " + File("07-liveness-exec.yaml") + " -f " +
             File("07-liveness-http.yaml"));
  for (const char* pod : {"liveness-exec", "liveness-http"}) {
    const std::string restarts = absl::StrCat(
        "kubectl get pod ", pod, " -o jsonpath='{.status.containerStatuses[0].restartCount}'");
    const bool restarted =
        Eventually([&] { return Number(cluster_.Out(restarts)) > 0; }, seconds(120));
    const std::string described = cluster_.Out(absl::StrCat("kubectl describe pod ", pod));
    const bool told =
        absl::StrContains(described, "Unhealthy") &&
        absl::StrContains(described, "Liveness probe failed: ") &&
        absl::StrContains(described, "Container liveness failed liveness probe, will be restarted");
    notes.Add(absl::StrCat(pod, " is restarted, with its events"),
              absl::StrCat(cluster_.Out(restarts), " restarts", told ? "" : "; no events"),
              restarted && told);
  }
  Delete("pod --grace-period=1 liveness-exec liveness-http");
  return notes.Take();
}

const std::vector<TutorialSteps::Step>& TutorialSteps::Steps() {
  static const auto& steps = *new std::vector<Step>{
      {"Deployment", [](TutorialSteps& t) { return t.CreateExposeScale(); }},
      {"Rollouts", [](TutorialSteps& t) { return t.UpdateUndoPause(); }},
      {"Autoscaling", [](TutorialSteps& t) { return t.ScaleUnderLoad(); }},
      {"Probes", [](TutorialSteps& t) { return t.Probes(); }},
  };
  return steps;
}

}  // namespace meltemi::nodes
