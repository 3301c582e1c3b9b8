// The load side of `./meltemi bench apiserver`: creates pods, sends requests at a constant rate,
// opens watches; prints one JSON object with what it measured.
//
// Open loop: a request is sent when its time has come, whatever became of the ones before it, and
// its latency counts from that time (no coordinated omission).
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "base/json/write.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "orchestrator/apiserver/http/test_client.h"

namespace meltemi::bench {
namespace {

using apiserver::TestClient;

struct Options {
  std::string server, pki, pod_file;
  uint32_t pods = 0, first_pod = 0, creators = 32;
  uint32_t rate = 0, seconds = 10;
  uint32_t watchers = 0, changes = 20;
};

constexpr uint32_t kPodsPerNamespace = 100;
constexpr uint32_t kConnections = 50;
// Pods that are created at a rate have numbers from here on, so that no phase meets another's.
constexpr uint32_t kRateFirst = 100'000'000;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

double Percentile(std::vector<double>& values, double percent) {
  if (values.empty()) return 0;
  const size_t at = std::min(values.size() - 1, static_cast<size_t>(values.size() * percent / 100));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), pod_(ReadFile(options.pod_file)) {
    auto context =
        tls::NewClientContext({.identity = tls::KeyPair{ReadFile(options.pki + "/admin.crt"),
                                                        ReadFile(options.pki + "/admin.key")},
                               .alpn = {"h2"},
                               .ca_pem = ReadFile(options.pki + "/ca.crt"),
                               .server_name = "kubernetes.default"});
    auto address = net::Address::Parse(options.server);
    if (!context.ok() || !address.ok()) {
      std::fprintf(stderr, "load: no PKI in '%s', or '%s' is no address\n", options.pki.c_str(),
                   options.server.c_str());
      std::exit(2);
    }
    for (uint32_t i = 0; i < kConnections; ++i) {
      clients_.push_back(std::make_unique<TestClient>(clock_, *loop_, *address, true, *context));
    }
    WaitFor([this] {
      return std::all_of(clients_.begin(), clients_.end(),
                         [](const auto& client) { return client->connected; });
    });
  }

  void Run() {
    out_.BeginObject();
    if (options_.pods > 0) CreatePods();
    if (options_.rate > 0) SendAtRate();
    if (options_.watchers > 0) Watch();
    out_.EndObject();
    std::printf("%s\n", text_.c_str());
  }

 private:
  double Seconds() const {
    return std::chrono::duration<double>(clock_.Now().time_since_epoch()).count();
  }
  void WaitFor(const std::function<bool()>& done) {
    while (!done()) loop_->RunOnce(milliseconds(1));
  }
  TestClient& Next() { return *clients_[next_client_++ % clients_.size()]; }
  static std::string Namespace(uint32_t pod) {
    return absl::StrCat("bench-", pod / kPodsPerNamespace);
  }
  std::string PodPath(uint32_t pod) const {
    return absl::StrCat("/api/v1/namespaces/", Namespace(pod), "/pods/pod-", pod);
  }
  TestClient::Call* Post(const std::string& path, const std::string& body) {
    return Next().Start("POST", path, {{"content-type", "application/json"}}, body);
  }
  TestClient::Call* CreatePod(uint32_t pod) {
    return Post(absl::StrCat("/api/v1/namespaces/", Namespace(pod), "/pods"),
                absl::StrReplaceAll(pod_, {{"@NAME@", absl::StrCat("pod-", pod)}}));
  }
  void CountFailure(const TestClient::Call& call) {
    if (call.status >= 200 && call.status < 300) return;
    if (failures_++ < 3) std::fprintf(stderr, "load: %d %s\n", call.status, call.body.c_str());
  }

  // `creators` requests are under way at a time.
  void CreateAll(uint32_t count, const std::function<TestClient::Call*(uint32_t)>& create) {
    std::vector<TestClient::Call*> open;
    uint32_t next = 0;
    while (next < count || !open.empty()) {
      while (next < count && open.size() < options_.creators) open.push_back(create(next++));
      loop_->RunOnce(milliseconds(1));
      for (size_t i = 0; i < open.size();) {
        if (!open[i]->over()) {
          ++i;
          continue;
        }
        CountFailure(*open[i]);
        open[i] = open.back();
        open.pop_back();
      }
      for (auto& client : clients_) client->ForgetEnded();
    }
  }

  void CreatePods() {
    const uint32_t first_ns = options_.first_pod / kPodsPerNamespace;
    const uint32_t last_ns = (options_.first_pod + options_.pods - 1) / kPodsPerNamespace;
    CreateAll(last_ns - first_ns + 1, [&](uint32_t i) {
      return Post(
          "/api/v1/namespaces",
          absl::StrCat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"bench-)",
                       first_ns + i, R"("}})"));
    });
    failures_ = 0;  // namespaces may be there from an earlier call
    const double began = Seconds();
    CreateAll(options_.pods, [&](uint32_t i) { return CreatePod(options_.first_pod + i); });
    out_.Key("created_per_s").Double(options_.pods / (Seconds() - began));
    out_.Key("create_failures").Uint(failures_);
  }

  struct Sent {
    TestClient::Call* call;
    double due;
    const char* what;
  };

  Sent SendOne(uint32_t number, double due) {
    const uint32_t pods = options_.first_pod + options_.pods;
    const uint32_t some = static_cast<uint32_t>((uint64_t{number} * 2654435761u) % pods);
    switch (number % 5) {
      case 0:
        return {CreatePod(kRateFirst + options_.first_pod + number), due, "create"};
      case 1:
        return {Next().Start("GET", absl::StrCat("/api/v1/namespaces/", Namespace(some), "/pods")),
                due, "list_100"};
      default:
        return {Next().Start("GET", PodPath(some)), due, "get"};
    }
  }

  void SendAtRate() {
    // The created pods of this phase go into namespaces of their own.
    const uint32_t total = options_.rate * options_.seconds;
    CreateAll(total / kPodsPerNamespace + 1, [&](uint32_t i) {
      return Post("/api/v1/namespaces",
                  absl::StrCat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")",
                               Namespace(kRateFirst + options_.first_pod + i * kPodsPerNamespace),
                               R"("}})"));
    });
    failures_ = 0;
    std::map<std::string, std::vector<double>> latencies;
    std::vector<Sent> open;
    const double began = Seconds();
    uint32_t sent = 0;
    while (sent < total || !open.empty()) {
      for (; sent < total; ++sent) {
        const double due = began + static_cast<double>(sent) / options_.rate;
        if (due > Seconds()) break;
        open.push_back(SendOne(sent, due));
      }
      loop_->RunOnce(microseconds(500));
      for (size_t i = 0; i < open.size();) {
        if (!open[i].call->over()) {
          ++i;
          continue;
        }
        latencies[open[i].what].push_back((Seconds() - open[i].due) * 1000);
        CountFailure(*open[i].call);
        open[i] = open.back();
        open.pop_back();
      }
      for (auto& client : clients_) client->ForgetEnded();
    }
    for (auto& [what, values] : latencies) Report(what, values);
    out_.Key("rate_failures").Uint(failures_);
  }

  void Report(const std::string& what, std::vector<double>& values) {
    out_.Key(absl::StrCat(what, "_p50_ms")).Double(Percentile(values, 50));
    out_.Key(absl::StrCat(what, "_p99_ms")).Double(Percentile(values, 99));
  }

  // All watch the same object, which is changed again and again.
  void Watch() {
    const std::string path = "/api/v1/namespaces/default/configmaps";
    CreateAll(1, [&](uint32_t) { return Post(path, Config(0)); });
    failures_ = 0;
    std::vector<TestClient::Call*> watches;
    const double opened = Seconds();
    for (uint32_t i = 0; i < options_.watchers; ++i) {
      watches.push_back(Next().Start(
          "GET", path + "?watch=1&fieldSelector=metadata.name%3Dbench&resourceVersion=0"));
      loop_->RunOnce(Duration::zero());
    }
    const auto all_have = [&watches](uint32_t change) {
      const std::string mark = absl::StrCat("change-", change, "\"");
      return std::all_of(watches.begin(), watches.end(), [&mark](const auto* watch) {
        return absl::StrContains(watch->body, mark);
      });
    };
    WaitFor([&] { return all_have(0); });
    out_.Key("watches_opened_s").Double(Seconds() - opened);
    std::vector<double> delays;
    for (uint32_t change = 1; change <= options_.changes; ++change) {
      for (TestClient::Call* watch : watches) watch->body.clear();
      MeasureChange(path, change, watches, &delays);
    }
    Report("watch_delivery", delays);
    out_.Key("watch_failures").Uint(failures_);
  }

  void MeasureChange(const std::string& path, uint32_t change,
                     const std::vector<TestClient::Call*>& watches, std::vector<double>* delays) {
    const double began = Seconds();
    TestClient::Call* put = clients_[0]->Start(
        "PUT", path + "/bench", {{"content-type", "application/json"}}, Config(change));
    std::vector<TestClient::Call*> waiting = watches;
    while (!waiting.empty() || !put->over()) {
      loop_->RunOnce(milliseconds(1));
      const double now = Seconds();
      for (size_t i = 0; i < waiting.size();) {
        if (waiting[i]->body.empty()) {
          ++i;
          continue;
        }
        delays->push_back((now - began) * 1000);
        waiting[i] = waiting.back();
        waiting.pop_back();
      }
    }
    CountFailure(*put);
  }

  static std::string Config(uint32_t change) {
    return absl::StrCat(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bench"},)",
                        R"("data":{"value":"change-)", change, R"("}})");
  }

  const Options options_;
  const std::string pod_;
  SystemClock clock_;
  const std::unique_ptr<Loop> loop_ = NewEventLoop(clock_);
  std::vector<std::unique_ptr<TestClient>> clients_;
  size_t next_client_ = 0;
  uint64_t failures_ = 0;
  std::string text_;
  json::Writer out_{&text_};
};

int Main(const std::vector<std::string>& args) {
  Options options;
  Flags flags("load --server IP:PORT --pki FOLDER --pod FILE [OPTIONS]");
  flags.Text("server", {}, &options.server, "IP:PORT", "the API server");
  flags.Text("pki", {}, &options.pki, "FOLDER", "with ca.crt, admin.crt, admin.key");
  flags.Text("pod", {}, &options.pod_file, "FILE", "JSON of a pod, @NAME@ for its name");
  flags.Number("pods", {}, &options.pods, 0, 10'000'000, "create so many first");
  flags.Number("first-pod", {}, &options.first_pod, 0, 10'000'000, "so many are there already");
  flags.Number("rate", {}, &options.rate, 0, 100'000, "then requests per second");
  flags.Number("seconds", {}, &options.seconds, 1, 3600, "for so long");
  flags.Number("watchers", {}, &options.watchers, 0, 50'000, "then so many watches");
  flags.Number("changes", {}, &options.changes, 1, 10'000, "of the object that they watch");
  const absl::Status status = flags.Parse(args);
  if (!status.ok() || flags.help_wanted()) {
    std::fprintf(stderr, "%s\n%s", std::string(status.message()).c_str(), flags.Help().c_str());
    return 2;
  }
  Bench(options).Run();
  return 0;
}

}  // namespace
}  // namespace meltemi::bench

int main(int argc, char** argv) {
  return meltemi::bench::Main(std::vector<std::string>(argv + 1, argv + argc));
}
