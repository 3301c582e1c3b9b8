// `./meltemi bench pilot`: how long a change takes from being applied until every proxy that it
// concerns has acknowledged it; what pilot needs for that; and how long thousands of proxies take
// to come back at once.
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/clock/clock.h"
#include "base/flags/flags.h"
#include "test/perf/pilot/mesh.h"
#include "test/perf/pilot/proxies.h"
#include "test/perf/pilot/server.h"

namespace meltemi::bench {
namespace {

// The rate of changes is the benchmark's own; nothing is waited for by it.
void Pause(absl::Duration duration) {
  poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(duration)));
}

struct Options {
  uint32_t services = 1000, proxies = 2000, namespaces = 50, threads = 2;
  uint32_t changes = 60, churn = 50;
  std::string scope = "namespace";
  bool serve = false;
};

constexpr double kQuietMaxMs = 30, kChurnMaxMs = 100, kStormMaxSeconds = 5;
constexpr int64_t kMemoryMaxMb = 500;

class Bench {
 public:
  Bench(const Options& options, const std::string& program)
      : options_(options),
        shape_{options.services, options.namespaces, options.scope == "namespace"},
        pilot_(program),
        proxies_({options.proxies, options.threads, options.namespaces, pilot_.port()},
                 {&far_.routes, &near_.routes}, {&far_.endpoints, &near_.endpoints}) {}

  int Run() {
    std::printf("%u services, %u proxies in %u namespaces, each sees %s\n", options_.services,
                options_.proxies, options_.namespaces,
                shape_.scoped ? "its own namespace and a common one" : "the whole mesh");
    pilot_.Apply(MeshText(shape_));
    Storm("all connect");
    Quiet();
    Churn();
    proxies_.Disconnect();
    Storm("all come back");
    const int64_t peak = pilot_.StatusKb("VmHWM:") / 1024;
    Row("memory, peak", absl::StrCat(peak, " MB"), peak <= kMemoryMaxMb);
    return failed_ ? 1 : 0;
  }

 private:
  void Row(const std::string& what, const std::string& measured, bool good) {
    std::printf("  %-40s %-58s %s\n", what.c_str(), measured.c_str(), good ? "ok" : "MISSED");
    std::fflush(stdout);
    failed_ = failed_ || !good;
  }
  void Note(const std::string& what, const std::string& measured) {
    std::printf("  %-40s %s\n", what.c_str(), measured.c_str());
    std::fflush(stdout);
  }
  static std::string Number(double value) { return absl::StrFormat("%.1f", value); }

  template <typename Done>
  bool Await(Duration limit, Done done) {
    const MonotonicTime end = clock_.Now() + limit;
    while (!done()) {
      if (clock_.Now() > end) return false;
      Pause(absl::Milliseconds(1));  // other threads count
    }
    return true;
  }

  void Storm(const std::string& what) {
    const double cpu = pilot_.CpuSeconds();
    const MonotonicTime begin = clock_.Now();
    proxies_.Connect();
    if (!Await(seconds(60), [this] { return proxies_.settled() == options_.proxies; })) {
      Row(what, absl::StrCat("only ", proxies_.settled(), " of ", options_.proxies), false);
      return;
    }
    const double taken = Seconds(clock_.Now() - begin);
    Row(what,
        absl::StrCat("settled in ", Number(taken), " s, pilot's CPU ",
                     Number(pilot_.CpuSeconds() - cpu), " s"),
        taken <= kStormMaxSeconds);
    Note("memory after it", absl::StrCat(pilot_.StatusKb("VmRSS:") / 1024, " MB"));
  }
  static double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

  void Apply(const std::string& text) {
    std::lock_guard<std::mutex> lock(apply_mutex_);
    pilot_.Apply(text);
  }
  // What is changed again and again, and when the proxies that it concerns had it.
  struct Subject {
    Reach reach;
    Rounds routes, endpoints;
    uint32_t route_round = 0, endpoint_round = 0;
    Subject(Reach whose, const Clock& clock) : reach(whose), routes(clock), endpoints(clock) {}
  };
  uint32_t Concerned(const Subject& subject) const {
    if (subject.reach == Reach::kAll || !shape_.scoped) return options_.proxies;
    // Those whose number leaves a remainder of one.
    return (options_.proxies + options_.namespaces - 2) / options_.namespaces;
  }
  void ChangeRoute(Subject& subject) {
    subject.routes.Begin(++subject.route_round, Concerned(subject));
    Apply(RouteText(shape_, ServiceOf(subject.reach), subject.route_round));
  }
  void ChangeEndpoint(Subject& subject) {
    subject.endpoints.Begin(++subject.endpoint_round, Concerned(subject));
    Apply(EndpointText(shape_, ServiceOf(subject.reach), 0,
                       RoundAddress(subject.reach, subject.endpoint_round)));
  }

  void Report(const std::string& what, const Rounds& rounds, uint32_t from, uint32_t to,
              double max_ms) {
    std::vector<double> all;
    uint32_t lost = 0;
    for (uint32_t i = from; i <= to; ++i) {
      const double taken = rounds.Taken(i);
      taken < 0 ? static_cast<void>(++lost) : all.push_back(taken * 1000);
    }
    std::sort(all.begin(), all.end());
    if (all.empty() || lost > 0) return Row(what, absl::StrCat(lost, " never arrived"), false);
    const auto at = [&](double share) {
      return all[std::min(all.size() - 1, static_cast<size_t>(share * all.size()))];
    };
    Row(what,
        absl::StrCat("enforced by all: p50 ", Number(at(0.5)), " ms, p99 ", Number(at(0.99)),
                     " ms (", all.size(), " changes)"),
        at(0.99) <= max_ms);
  }

  // Changes, one after the other, of both kinds.
  void Series(const std::string& when, Subject& subject, double max_ms) {
    const double cpu = pilot_.CpuSeconds();
    const MonotonicTime begin = clock_.Now();
    const uint32_t first_route = subject.route_round + 1;
    const uint32_t first_endpoint = subject.endpoint_round + 1;
    for (uint32_t i = 0; i < options_.changes; ++i) {
      ChangeRoute(subject);
      Await(seconds(5), [&] { return subject.routes.open() == 0; });
      Pause(absl::Milliseconds(50));
      ChangeEndpoint(subject);
      Await(seconds(5), [&] { return subject.endpoints.open() == 0; });
      Pause(absl::Milliseconds(50));
    }
    const std::string whom = absl::StrCat(", ", when, ", ", Concerned(subject), " proxies");
    Report("route" + whom, subject.routes, first_route, subject.route_round, max_ms);
    Report("endpoint" + whom, subject.endpoints, first_endpoint, subject.endpoint_round, max_ms);
    Note("pilot's CPU meanwhile",
         absl::StrCat(Number((pilot_.CpuSeconds() - cpu) / Seconds(clock_.Now() - begin) * 100),
                      " % of one core"));
  }

  void Quiet() {
    Series("quiet", near_, kQuietMaxMs);
    Series("quiet", far_, kQuietMaxMs);
  }

  void Churn() {
    std::atomic<bool> stop{false};
    const uint64_t responses = proxies_.responses();
    std::thread other([&] {
      std::mt19937 random(1);
      const absl::Duration pause = absl::Seconds(1) / options_.churn;
      for (uint32_t round = 0; !stop; ++round) {
        const uint32_t service = kReaches + random() % (options_.services - kReaches);
        const std::string text = EndpointText(
            shape_, service, 0,
            absl::StrCat("10.9", round / 62'500 % 10, ".", round / 250 % 250, ".", round % 250));
        Apply(text);
        Pause(pause);
      }
    });
    const std::string when = absl::StrCat(options_.churn, " changes/s");
    Series(when, near_, kChurnMaxMs);
    Series(when, far_, kChurnMaxMs);
    stop = true;
    other.join();
    Note("responses meanwhile", absl::StrCat(proxies_.responses() - responses));
  }

  const Options options_;
  const MeshShape shape_;
  SystemClock clock_;
  Subject near_{Reach::kNamespace, clock_}, far_{Reach::kAll, clock_};
  PilotProcess pilot_;
  Proxies proxies_;
  std::mutex apply_mutex_;
  bool failed_ = false;
};

int Main(int argc, char** argv) {
  Options options;
  Flags flags("bench [options]");
  flags.Number("services", {}, &options.services, 10, 60'000, "how many");
  flags.Number("proxies", {}, &options.proxies, 1, 20'000, "how many");
  flags.Number("namespaces", {}, &options.namespaces, 1, 1000, "over which both are spread");
  flags.Number("threads", {}, &options.threads, 1, 64, "of the simulated proxies");
  flags.Number("changes", {}, &options.changes, 1, 10'000, "of each kind, quiet and under churn");
  flags.Number("churn", {}, &options.churn, 1, 10'000, "endpoint changes per second");
  flags.Choice("scope", {}, &options.scope, {"namespace", "mesh"},
               "what a proxy sees: its namespace and a common one, or everything");
  flags.Switch("serve", {}, &options.serve, "be the pilot under test (for the benchmark itself)");
  const absl::Status status = flags.Parse({argv + 1, argv + argc});
  if (!status.ok() || flags.help_wanted()) {
    std::printf("%s\n%s", std::string(status.message()).c_str(), flags.Help().c_str());
    return status.ok() ? 0 : 2;
  }
  if (options.serve) return ServePilot();
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur < options.proxies + 100) {
    std::fprintf(stderr, "bench: cannot open %u connections: raise the limit of open files\n",
                 options.proxies);
    return 1;
  }
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  return Bench(options, std::string(path, size > 0 ? static_cast<size_t>(size) : 0)).Run();
}

}  // namespace
}  // namespace meltemi::bench

int main(int argc, char** argv) { return meltemi::bench::Main(argc, argv); }
