// `./meltemi bench kubeproxy`: how long rules for many services take, all at once and after one
// change, in a network namespace of its own; and what the process holds, informers included.
//
// The API server is a client that makes up its answers: nothing of it is kept in this process.
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/metrics/metrics.h"
#include "base/process/run_process.h"
#include "kube/client/client.h"
#include "kube/events/recorder_fake.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/informer/limits.h"
#include "orchestrator/kubeproxy/kube_proxy.h"

namespace meltemi::kubeproxy {
namespace {

struct Options {
  std::string mode = "nftables";
  uint32_t services = 10'000, endpoints = 10, changes = 20, messages_max = 500;
  bool verify = false;
};

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

std::string Ip(uint32_t first, uint32_t i) {
  return absl::StrCat(first, ".", 96 + (i >> 16 & 15), ".", i >> 8 & 255, ".", i & 255);
}

std::string ServiceJson(uint32_t i) {
  return absl::StrCat(
      R"({"kind":"Service","apiVersion":"v1","metadata":{"namespace":"default","name":"service-)",
      i, R"(","resourceVersion":"1","uid":"7d9f4c51-2f0c-4a4b-9f0e-)", 100'000 + i,
      R"(","labels":{"app":"service-)", i, R"("}},"spec":{"clusterIP":")", Ip(10, i + 256),
      R"(","clusterIPs":[")", Ip(10, i + 256),
      R"("],"type":"ClusterIP","selector":{"app":"service-)", i,
      R"("},"ports":[{"name":"http","port":80,"targetPort":8080,"protocol":"TCP"}]}})");
}

// `version` moves the first endpoint to another address.
std::string SliceJson(uint32_t i, uint32_t endpoints, uint32_t version) {
  std::string list;
  for (uint32_t n = 0; n < endpoints; n++) {
    const std::string ip = n == 0 ? Ip(12 + version % 100, i) : Ip(11, i * endpoints + n);
    absl::StrAppend(
        &list, n == 0 ? "" : ",", R"({"addresses":[")", ip,
        R"("],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"node-)",
        n % 100, R"(","targetRef":{"kind":"Pod","namespace":"default","name":"service-)", i,
        "-7c5ddbdf54-", n, R"(","uid":"0d5d36a4-5d5e-4c29-8d3c-)", 100'000 + i, "\"}}");
  }
  return absl::StrCat(
      R"({"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"namespace":)",
      R"("default","name":"service-)", i, R"(-x","resourceVersion":")", version,
      R"(","labels":{"kubernetes.io/service-name":"service-)", i,
      R"("}},"addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],)",
      R"("endpoints":[)", list, "]}");
}

// Lists in pages; watches say what they are told to.
class MadeUpApi final : public kube::Client {
 public:
  explicit MadeUpApi(const Options& options) : options_(options) {}

  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    const bool slices = absl::EndsWith(call.path, "endpointslices");
    const uint32_t total = slices || absl::EndsWith(call.path, "services") ? options_.services : 0;
    uint32_t limit = total, begin = 0;
    for (const auto& [name, value] : call.query) {
      if (name == "limit") (void)absl::SimpleAtoi(value, &limit);
      if (name == "continue") (void)absl::SimpleAtoi(value, &begin);
    }
    const uint32_t end = std::min(total, begin + limit);
    kube::ApiAnswer answer;
    answer.body = R"({"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1")";
    if (end < total) absl::StrAppend(&answer.body, R"(,"continue":")", end, "\"");
    absl::StrAppend(&answer.body, R"(},"items":[)");
    for (uint32_t i = begin; i < end; i++) {
      absl::StrAppend(&answer.body, i == begin ? "" : ",",
                      slices ? SliceJson(i, options_.endpoints, 1) : ServiceJson(i));
    }
    answer.body += "]}";
    return answer;
  }

  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall& call, kube::WatchSink& sink) override {
    class Handle final : public kube::ApiWatch {};
    const std::lock_guard<std::mutex> lock(mutex_);
    if (absl::EndsWith(call.path, "endpointslices")) slices_ = &sink;
    return std::make_unique<Handle>();
  }

  void ChangeSlice(uint32_t i, uint32_t version) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (slices_ == nullptr) Die("endpoint slices are not watched");
    slices_->OnEvent("MODIFIED", SliceJson(i, options_.endpoints, version));
  }

 private:
  const Options options_;
  std::mutex mutex_;
  kube::WatchSink* slices_ = nullptr;
};

int64_t StatusKb(const std::string& name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (!absl::StartsWith(line, name)) continue;
    int64_t kb = 0;
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() > 1 && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  return 0;
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double CpuSeconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

void Await(const char* what, Duration limit, const std::function<bool()>& done) {
  const SystemClock clock;
  const MonotonicTime end = clock.Now() + limit;
  while (!done()) {
    if (clock.Now() > end) Die(absl::StrCat(what, ": not within ", Seconds(limit), " s"));
    poll(nullptr, 0, /*timeout=*/1);  // nobody tells when rules are written
  }
}

// How many runs with a part of the rules there have been.
int64_t PartialSyncs(const metrics::Registry& registry) {
  const std::string name = "kubeproxy_sync_partial_proxy_rules_duration_seconds_count ";
  const std::string text = registry.RenderPrometheus(
      [](absl::string_view family) { return absl::StartsWith(family, "kubeproxy_sync_partial"); });
  const size_t at = text.find(name);
  int64_t count = 0;
  if (at != std::string::npos) {
    const std::string rest = text.substr(at + name.size());
    (void)absl::SimpleAtoi(rest.substr(0, rest.find('\n')), &count);
  }
  return count;
}

void Verify(const Options& options) {
  ProcessOptions process;
  process.timeout = seconds(120);
  process.output_bytes_max = size_t{256} * 1024 * 1024;
  const bool nft = options.mode == "nftables";
  const auto listed =
      nft ? RunProcess({"nft", "-j", "list", "map", "ip", "meltemi-proxy", "endpoints"}, "",
                       process)
          : RunProcess({"iptables-save", "-t", "nat"}, "", process);
  if (!listed.ok()) Die(std::string(listed.status().message()));
  size_t found = 0;
  const std::string needle = nft ? ", 8080]}" : "--to-destination";
  for (size_t at = 0; (at = listed->out.find(needle, at)) != std::string::npos; at++) found++;
  const size_t wanted = size_t{options.services} * options.endpoints;
  if (found != wanted) Die(absl::StrCat("the kernel has ", found, " endpoints, not ", wanted));
}

void Run(const Options& options) {
  if (unshare(CLONE_NEWNET) != 0) Die("needs root: it makes a network namespace");
  const SystemClock clock;
  const int64_t empty_kb = StatusKb("VmRSS:");
  MadeUpApi api(options);
  auto executor = kube::NewThreadExecutor(clock);
  auto informers = kube::NewInformers(api, *executor, kube::InformerOptions(),
                                      {.messages_max = options.messages_max});
  metrics::Registry registry;
  kube::EventRecorderFake recorder;
  KubeProxyOptions proxy_options;
  proxy_options.node_name = "node-1";
  proxy_options.mode = options.mode;
  proxy_options.cluster_cidr = "11.0.0.0/8";
  proxy_options.sync_full = minutes(10);
  auto proxy = NewKubeProxy(proxy_options, *informers, *executor, recorder, &registry);
  if (!proxy.ok()) Die(std::string(proxy.status().message()));

  const MonotonicTime begin = clock.Now();
  informers->Start();
  Await("the lists", seconds(120), [&] { return informers->synced(); });
  const MonotonicTime synced = clock.Now();
  (*proxy)->Start();
  Await("all rules", minutes(20), [&] { return (*proxy)->healthy(); });
  const MonotonicTime programmed = clock.Now();
  const double tool_cpu = CpuSeconds(RUSAGE_CHILDREN), own_cpu = CpuSeconds(RUSAGE_SELF);

  std::vector<double> changes_ms;
  for (uint32_t i = 0; i < options.changes; i++) {
    const int64_t before = PartialSyncs(registry);
    const MonotonicTime changed = clock.Now();
    api.ChangeSlice((i * 7919) % options.services, i + 2);
    Await("a change", minutes(10), [&] { return PartialSyncs(registry) > before; });
    changes_ms.push_back(Seconds(clock.Now() - changed) * 1000);
  }
  std::sort(changes_ms.begin(), changes_ms.end());
  if (options.verify) Verify(options);
  rusage children{};
  getrusage(RUSAGE_CHILDREN, &children);
  std::printf(
      "%-9s %6u services x %u: lists %.2f s, rules %.2f s (cpu: own %.2f s, tool %.2f s); one "
      "change p50 %.0f ms, max %.0f ms; RSS %lld MB (peak %lld, before %lld), tool's peak %ld MB\n",
      options.mode.c_str(), options.services, options.endpoints, Seconds(synced - begin),
      Seconds(programmed - synced), own_cpu, tool_cpu,
      changes_ms.empty() ? 0 : changes_ms[changes_ms.size() / 2],
      changes_ms.empty() ? 0 : changes_ms.back(), static_cast<long long>(StatusKb("VmRSS:") / 1024),
      static_cast<long long>(StatusKb("VmHWM:") / 1024), static_cast<long long>(empty_kb / 1024),
      children.ru_maxrss / 1024);
  std::fflush(stdout);
  informers->Stop();
}

}  // namespace
}  // namespace meltemi::kubeproxy

int main(int argc, char** argv) {
  meltemi::kubeproxy::Options options;
  meltemi::Flags flags("bench [options]");
  flags.Choice("mode", {}, &options.mode, {"nftables", "iptables"}, "which rules");
  flags.Number("services", {}, &options.services, 1, 60'000, "services");
  flags.Number("endpoints", {}, &options.endpoints, 1, 1'000, "endpoints of each");
  flags.Number("changes", {}, &options.changes, 0, 10'000, "endpoints that change, one by one");
  flags.Number("messages-max", {}, &options.messages_max, 0, 1'000'000,
               "objects that informers keep unpacked");
  flags.Switch("verify", {}, &options.verify, "count the kernel's endpoints at the end");
  const absl::Status status = flags.Parse({argv + 1, argv + argc});
  if (!status.ok() || flags.help_wanted()) {
    std::fprintf(stderr, "%s\n%s", std::string(status.message()).c_str(), flags.Help().c_str());
    return status.ok() ? 0 : 2;
  }
  meltemi::kubeproxy::Run(options);
  return 0;
}
