// The load side of `./meltemi bench scheduler`: creates nodes, pods or a Deployment, waits until
// pods are bound (or ready), prints one JSON object with what it measured.
//
// Pods are counted as bound when a watch tells it, as users would see it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/json/write.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"

namespace meltemi::bench {
namespace {

struct Options {
  std::string kubeconfig, pod_file, deployment_file, ns = "default", prefix = "pod";
  uint32_t nodes = 0, zones = 3, pods = 0, creators = 24, seconds_max = 900;
};

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

double Percentile(std::vector<double>& values, double percent) {
  if (values.empty()) return 0;
  const size_t at = std::min(
      values.size() - 1, static_cast<size_t>(static_cast<double>(values.size()) * percent / 100));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

// The text of the first member of this name after `from`; empty: there is none.
absl::string_view TextAfter(absl::string_view json, absl::string_view from,
                            absl::string_view member) {
  size_t at = json.find(from);
  if (at == absl::string_view::npos) return "";
  const std::string key = absl::StrCat("\"", member, "\":\"");
  at = json.find(key, at);
  if (at == absl::string_view::npos) return "";
  json.remove_prefix(at + key.size());
  return json.substr(0, json.find('"'));
}

// Comes once, and is waited for.
class Moment {
 public:
  void Come() {
    const std::lock_guard<std::mutex> lock(mutex_);
    came_ = true;
    changed_.notify_all();
  }
  bool Wait(Duration most) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, most, [this] { return came_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool came_ = false;
};

// Sees pods PREFIX-0, PREFIX-1, … get nodes.
class BindingsSeen final : public kube::WatchSink {
 public:
  BindingsSeen(const Clock& clock, const std::string& prefix, size_t pods)
      : clock_(clock), prefix_(prefix + "-"), bound_(pods) {}

  void OnEvent(absl::string_view type, absl::string_view object) override {
    if (type != "MODIFIED" || !absl::StrContains(object, "\"nodeName\":\"")) return;
    absl::string_view name = TextAfter(object, "\"metadata\":{", "name");
    size_t number = 0;
    if (!absl::ConsumePrefix(&name, prefix_) || !absl::SimpleAtoi(name, &number) ||
        number >= bound_.size() || bound_[number] != MonotonicTime()) {
      return;
    }
    bound_[number] = clock_.Now();
    if (++seen_ == bound_.size()) all_.Come();
  }
  void OnEnd(const kube::Status& why) override {
    Die(absl::StrCat("the watch has ended: ", why.message));
  }
  Moment& all() { return all_; }
  // Once all have been seen.
  const std::vector<MonotonicTime>& bound() const { return bound_; }

 private:
  const Clock& clock_;
  const std::string prefix_;
  std::vector<MonotonicTime> bound_;
  size_t seen_ = 0;
  Moment all_;
};

// Sees a Deployment's pods get ready.
class ReadySeen final : public kube::WatchSink {
 public:
  explicit ReadySeen(uint32_t wanted) : wanted_(absl::StrCat("\"readyReplicas\":", wanted)) {}
  void OnEvent(absl::string_view, absl::string_view object) override {
    if (absl::StrContains(object, wanted_)) ready_.Come();
  }
  void OnEnd(const kube::Status& why) override {
    Die(absl::StrCat("the watch has ended: ", why.message));
  }
  Moment& ready() { return ready_; }

 private:
  const std::string wanted_;
  Moment ready_;
};

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options) {
    const absl::StatusOr<kube::ClusterAccess> access = kube::ReadKubeconfig(options.kubeconfig);
    if (!access.ok()) Die(std::string(access.status().message()));
    auto client = kube::NewHttpClient(*access, clock_, {.user_agent = "bench"});
    if (!client.ok()) Die(std::string(client.status().message()));
    client_ = *std::move(client);
  }

  void MakeNodes() {
    const MonotonicTime began = clock_.Now();
    ForEach(options_.nodes, [this](uint32_t i) {
      const std::string amounts = R"({"cpu":"32","memory":"256Gi","pods":"110"})";
      Post("/api/v1/nodes",
           absl::StrCat(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"node-)", i,
                        R"(","labels":{"kubernetes.io/hostname":"node-)", i,
                        R"(","topology.kubernetes.io/zone":"zone-)", i % options_.zones,
                        R"("}},"status":{"capacity":)", amounts, R"(,"allocatable":)", amounts,
                        R"(,"conditions":[{"type":"Ready","status":"True"}]}})"));
      // There is nobody who finds out that it is ready.
      Check(client_->Call({.method = "PATCH",
                           .path = absl::StrCat("/api/v1/nodes/node-", i),
                           .query = {},
                           .body = R"({"spec":{"taints":null}})",
                           .content_type = "application/merge-patch+json"}));
    });
    Print({{"nodes_per_s", options_.nodes / Seconds(clock_.Now() - began)}});
  }

  void MakePods() {
    const std::string pod = ReadFile(options_.pod_file);
    const std::string path = absl::StrCat("/api/v1/namespaces/", options_.ns, "/pods");
    BindingsSeen seen(clock_, options_.prefix, options_.pods);
    const std::unique_ptr<kube::ApiWatch> watch =
        client_->Watch({.path = path, .query = {{"resourceVersion", "0"}}}, seen);
    std::vector<MonotonicTime> created(options_.pods);
    const MonotonicTime began = clock_.Now();
    ForEach(options_.pods, [&](uint32_t i) {
      Post(path, absl::StrReplaceAll(pod, {{"@NAME@", absl::StrCat(options_.prefix, "-", i)}}));
      created[i] = clock_.Now();
    });
    const MonotonicTime all_created = clock_.Now();
    Wait(seen.all());
    MonotonicTime last;
    std::vector<double> latencies_ms;
    for (uint32_t i = 0; i < options_.pods; ++i) {
      last = std::max(last, seen.bound()[i]);
      latencies_ms.push_back(std::max(0.0, 1000 * Seconds(seen.bound()[i] - created[i])));
    }
    Print({{"pods_per_s", options_.pods / Seconds(last - began)},
           {"created_per_s", options_.pods / Seconds(all_created - began)},
           {"p50_ms", Percentile(latencies_ms, 50)},
           {"p99_ms", Percentile(latencies_ms, 99)}});
  }

  void MakeDeployment() {
    const std::string path = absl::StrCat("/apis/apps/v1/namespaces/", options_.ns, "/deployments");
    std::vector<double> ready_ms;
    for (int round = 0; round < 5; ++round) {
      const std::string name = absl::StrCat("ready-", round);
      ReadySeen seen(10);
      const std::unique_ptr<kube::ApiWatch> watch = client_->Watch(
          {.path = path,
           .query = {{"fieldSelector", "metadata.name=" + name}, {"resourceVersion", "0"}}},
          seen);
      const MonotonicTime began = clock_.Now();
      Post(path, absl::StrReplaceAll(ReadFile(options_.deployment_file), {{"@NAME@", name}}));
      Wait(seen.ready());
      ready_ms.push_back(1000 * Seconds(clock_.Now() - began));
    }
    const double worst = *std::max_element(ready_ms.begin(), ready_ms.end());
    Print({{"ready_p50_ms", Percentile(ready_ms, 50)}, {"ready_worst_ms", worst}});
  }

 private:
  static double Seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
  }
  void Check(const kube::Result<kube::ApiAnswer>& answer) {
    if (!answer.ok()) Die(answer.status().message);
  }
  void Post(const std::string& path, const std::string& body) {
    Check(client_->Call({.method = "POST", .path = path, .query = {}, .body = body}));
  }
  // From several threads.
  void ForEach(uint32_t count, const std::function<void(uint32_t)>& work) {
    std::atomic<uint32_t> next{0};
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < options_.creators; ++i) {
      threads.emplace_back([&] {
        for (uint32_t at = next.fetch_add(1); at < count; at = next.fetch_add(1)) work(at);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  void Wait(Moment& moment) {
    if (!moment.Wait(seconds(options_.seconds_max))) Die("what was waited for has not come");
  }
  static void Print(const std::vector<std::pair<std::string, double>>& figures) {
    std::string out;
    json::Writer writer(&out);
    writer.BeginObject();
    for (const auto& [name, value] : figures) writer.Key(name).Double(value);
    writer.EndObject();
    std::puts(out.c_str());
  }

  const Options options_;
  SystemClock clock_;
  std::unique_ptr<kube::Client> client_;
};

int Main(int argc, char** argv) {
  Options options;
  Flags flags("load: nodes, pods and Deployments for `./meltemi bench scheduler`");
  flags.Text("kubeconfig", {}, &options.kubeconfig, "FILE", "how to reach the API server");
  flags.Number("nodes", {}, &options.nodes, 0, 100'000, "create so many nodes");
  flags.Number("zones", {}, &options.zones, 1, 1000, "in so many zones");
  flags.Number("pods", {}, &options.pods, 0, 1'000'000, "create so many pods, wait for bindings");
  flags.Text("pod", {}, &options.pod_file, "FILE", "what they look like");
  flags.Text("deployment", {}, &options.deployment_file, "FILE",
             "create it, wait until it is ready");
  flags.Text("namespace", {}, &options.ns, "NAME", "of the pods");
  flags.Text("prefix", {}, &options.prefix, "TEXT", "of the pods' names");
  flags.Number("creators", {}, &options.creators, 1, 100, "threads that create");
  flags.Number("seconds-max", {}, &options.seconds_max, 1, 100'000, "to wait at most");
  const absl::Status status = flags.Parse(std::vector<std::string>(argv + 1, argv + argc));
  if (!status.ok()) Die(std::string(status.message()));
  Bench bench(options);
  if (options.nodes > 0) bench.MakeNodes();
  if (options.pods > 0) bench.MakePods();
  if (!options.deployment_file.empty()) bench.MakeDeployment();
  return 0;
}

}  // namespace
}  // namespace meltemi::bench

int main(int argc, char** argv) { return meltemi::bench::Main(argc, argv); }
