#include "test/scenarios/tutorial.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "test/machine/load.h"
#include "test/scenarios/statistics.h"

namespace meltemi::scenarios {
namespace {

using machine::Eventually;
using machine::Finished;
using std::chrono::seconds;

constexpr char kVersionUrl[] = "http://flaskapp/env/version";

int CountLines(absl::string_view text, absl::string_view part) {
  int count = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) count += absl::StrContains(line, part);
  return count;
}

// What `curl -w "%{http_code} %{time_total}"` printed last.
struct Timed {
  int status = 0;
  double took_s = 0;
};
Timed Fetch(World& world, const std::string& url) {
  const Finished got = world.Exec(
      {"curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "-m", "30", url});
  const std::vector<std::string> words = absl::StrSplit(got.output, ' ');
  Timed timed;
  if (words.size() == 2) {
    (void)absl::SimpleAtoi(words[0], &timed.status);
    (void)absl::SimpleAtod(words[1], &timed.took_s);
  }
  return timed;
}

// As the tutorial asks: three connections on three threads.
machine::LoadResult Wrk(World& world, const std::string& url) {
  return machine::ParseWrk(
      world.Exec({"wrk", "-c", "3", "-t", "3", "-d", "4s", url}, seconds(35)).output);
}

}  // namespace

Manifests Manifests::Examples(const std::string& folder) {
  return {.folder = folder,
          .destination_rule = "11-destinationrule.yaml",
          .bluegreen = "11-bluegreen.yaml",
          .weights = "12-weights.yaml",
          .canary = "13-canary.yaml",
          .mirror = "14-mirror.yaml",
          .httpbin = "15-virtualservice.yaml",
          .circuit_breaker = "15-circuitbreaker.yaml",
          .retries = "16-retries.yaml",
          .timeout = "17-timeout.yaml",
          .faults = "18-faults.yaml",
          .timeout_addition = ""};
}

Manifests Manifests::Tutorial(const std::string& folder, const std::string& examples_folder) {
  return {.folder = folder,
          .destination_rule = "11-flaskapp-destinationrule.yaml",
          .bluegreen = "11-flaskapp-virtualservice-bluegreen.yaml",
          .weights = "12-flaskapp-virtualservice-weights.yaml",
          .canary = "13-flaskapp-virtualservice-canary.yaml",
          .mirror = "14-flaskapp-virtualservice-mirror.yaml",
          .httpbin = "15-httpbin-virtualservice.yaml",
          .circuit_breaker = "15-httpbin-destinationrule.yaml",
          .retries = "16-httpbin-virtualservice-retries.yaml",
          .timeout = "17-httpbin-virtualservice-timeout.yaml",
          .faults = absl::StrCat(examples_folder, "/18-faults.yaml"),
          .timeout_addition = "\n      timeout: 3s\n"};
}

std::string Tutorial::ApplyFile(const std::string& name, const std::string& file,
                                const std::string& addition) {
  const std::string path =
      absl::StartsWith(file, "/") ? file : absl::StrCat(manifests_.folder, "/", file);
  return world_.Apply(name, absl::StrCat(machine::ReadFile(path), addition));
}

std::string Tutorial::ApplyWithSubsets(const std::string& file) {
  const std::string trouble = ApplyFile("flaskapp-dr", manifests_.destination_rule);
  return trouble + ApplyFile("flaskapp-vs", file);
}

std::string Tutorial::Counts::Text() const {
  std::string text = absl::StrCat(v1, " v1, ", v2, " v2");
  if (other > 0) absl::StrAppend(&text, ", ", other, " other: \"", sample, "\"");
  return text;
}

Tutorial::Counts Tutorial::Ask(int count, const std::string& header) {
  std::vector<std::string> argv = {
      "curl", "-s", "-w", "\\n", "-m", "60", absl::StrCat(kVersionUrl, "?n=[1-", count, "]")};
  if (!header.empty()) argv.insert(argv.end(), {"-H", header});
  const Finished got = world_.Exec(argv, seconds(90));
  Counts counts;
  int seen = 0;
  for (absl::string_view line : absl::StrSplit(got.output, '\n')) {
    if (line.empty()) continue;
    ++seen;
    if (line == "v1") {
      ++counts.v1;
    } else if (line == "v2") {
      ++counts.v2;
    } else {
      counts.sample = std::string(line.substr(0, 80));
    }
  }
  counts.other = std::max(seen, count) - counts.v1 - counts.v2;
  return counts;
}

int Tutorial::Lines(const std::string& workload, const std::string& part) const {
  return CountLines(world_.AppLog(workload), part);
}

std::vector<Row> Tutorial::RoundRobin() {
  const Counts counts = Ask(400);
  const bool fits = FitsShare(counts.v1, 400, 0.5);
  // The tutorial's own way to ask, a few times: a whole HTTPie for each request.
  int http_ok = 0;
  for (int i = 0; i < 4; ++i) {
    const Finished got = world_.Exec({"http", "--ignore-stdin", "--body", kVersionUrl});
    http_ok += absl::StartsWith(got.output, "v1") || absl::StartsWith(got.output, "v2");
  }
  return {{"10 two versions", "400 requests, no rule: v1 and v2 alternate", counts.Text(),
           counts.other == 0 && fits},
          {"10 two versions", "http --body http://flaskapp/env/version, 4 times",
           absl::StrCat(http_ok, " of 4 answered"), http_ok == 4}};
}

std::vector<Row> Tutorial::BlueGreen() {
  // Both orders of applying, under load: whatever comes first, no request may fail.
  const std::unique_ptr<World::Load> load = world_.StartLoad(kVersionUrl, 4);
  std::string trouble = ApplyFile("flaskapp-vs", manifests_.bluegreen);
  trouble += ApplyFile("flaskapp-dr", manifests_.destination_rule);
  const Counts first = Ask(100);
  trouble += world_.Delete("flaskapp-vs");
  trouble += world_.Delete("flaskapp-dr");
  trouble += ApplyFile("flaskapp-dr", manifests_.destination_rule);
  trouble += ApplyFile("flaskapp-vs", manifests_.bluegreen);
  const Counts second = Ask(100);
  const machine::LoadResult result = load->Stop();
  return {{"11 blue-green", "100 requests, route before subsets", first.Text(),
           first.v1 == 100 && trouble.empty()},
          {"11 blue-green", "100 requests, subsets before route",
           absl::StrCat(second.Text(), trouble), second.v1 == 100 && trouble.empty()},
          {"11 blue-green", "load during four switches: none fails", result.Text(),
           result.requests > 100 && result.failed() == 0}};
}

std::vector<Row> Tutorial::Weights() {
  const std::string trouble = ApplyWithSubsets(manifests_.weights);
  std::vector<Row> rows;
  for (int round = 0; round < 2; ++round) {
    const Counts counts = Ask(1000);
    const double p = BinomialPValue(counts.v2, 1000, 0.3);
    rows.push_back({"12 weights", "1000 requests, 70 % v1, 30 % v2",
                    absl::StrFormat("%s (binomial p = %.3f)%s", counts.Text(), p, trouble),
                    counts.other == 0 && FitsShare(counts.v2, 1000, 0.3) && trouble.empty()});
  }
  return rows;
}

std::vector<Row> Tutorial::Canary() {
  const std::string trouble = ApplyWithSubsets(manifests_.canary);
  const Counts canary = Ask(50, "lab: canary");
  const Counts none = Ask(50);
  const Counts other = Ask(50, "lab: other");
  return {{"13 canary", "50 requests with lab: canary go to v2", canary.Text(),
           canary.v2 == 50 && trouble.empty()},
          {"13 canary", "50 without it go to v1", none.Text(), none.v1 == 50},
          {"13 canary", "50 with lab: other go to v1", other.Text(), other.v1 == 50}};
}

std::vector<Row> Tutorial::Mirror() {
  const std::string trouble = ApplyWithSubsets(manifests_.mirror);
  const std::string shadow = "-shadow";
  const int before = Lines("flaskapp-v1", shadow);
  const Counts canary = Ask(50, "lab: canary");
  const bool arrived =
      Eventually([&] { return Lines("flaskapp-v1", shadow) - before >= 50; }, seconds(20));
  const int copies = Lines("flaskapp-v1", shadow) - before;
  const int v2_before = Lines("flaskapp-v2", "GET");
  const Counts rest = Ask(50);
  const int v2_more = Lines("flaskapp-v2", "GET") - v2_before;
  const int copies_later = Lines("flaskapp-v1", shadow) - before;
  return {{"14 mirror", "50 canary requests are answered by v2", canary.Text(),
           canary.v2 == 50 && trouble.empty()},
          {"14 mirror", "v1's log shows 50 copies, Host ends in -shadow",
           absl::StrCat(copies, " copies"), arrived && copies == 50},
          {"14 mirror", "50 other requests reach v1 alone",
           absl::StrCat(rest.Text(), "; v2 saw ", v2_more, ", new copies ", copies_later - copies),
           rest.v1 == 50 && v2_more == 0 && copies_later == copies}};
}

std::vector<Row> Tutorial::CircuitBreaker() {
  std::string trouble = ApplyFile("httpbin-vs", manifests_.httpbin);
  const Timed get = Fetch(world_, "http://httpbin:8000/get");
  const machine::LoadResult before = Wrk(world_, "http://httpbin:8000/ip");
  trouble += ApplyFile("httpbin-dr", manifests_.circuit_breaker);
  const std::string overflow = "upstream_rq_pending_overflow";
  const int64_t overflow_before = world_.Stat(overflow);
  const int flags_before = CountLines(world_.AccessLog(), " UO ");
  const machine::LoadResult after = Wrk(world_, "http://httpbin:8000/ip");
  const int64_t overflows = world_.Stat(overflow) - overflow_before;
  int flags = 0;
  // The log is written behind the traffic.
  const bool logged = Eventually(
      [&] {
        flags = CountLines(world_.AccessLog(), " UO ") - flags_before;
        return flags >= after.non_2xx;
      },
      seconds(10));
  trouble += world_.Delete("httpbin-dr");
  return {
      {"15 circuit breaker", "/get", absl::StrCat("status ", get.status), get.status == 200},
      {"15 circuit breaker", "wrk -c 3 -t 3 without the rule: all 200", before.Text(),
       before.requests > 0 && before.failed() == 0},
      {"15 circuit breaker", "with it: some 503, the rest 200", absl::StrCat(after.Text(), trouble),
       after.non_2xx > 0 && after.non_2xx < after.requests && after.socket_errors == 0 &&
           trouble.empty()},
      {"15 circuit breaker", "the overflow counter grows, the log says UO",
       absl::StrCat("counter +", overflows, ", ", flags, " log lines with UO"),
       logged && overflows >= after.non_2xx}};
}

std::vector<Row> Tutorial::Retries() {
  const std::string trouble = ApplyFile("httpbin-vs", manifests_.retries);
  const std::string line = "/status/500";
  const int before = Lines("httpbin", line);
  const Timed got = Fetch(world_, "http://httpbin:8000/status/500");
  Eventually([&] { return Lines("httpbin", line) - before >= 4; }, seconds(10));
  const int tries = Lines("httpbin", line) - before;
  return {{"16 retries", "/status/500: 1 + 3 attempts, the client gets the 500",
           absl::StrCat(tries, " attempts, status ", got.status, trouble),
           tries == 4 && got.status == 500 && trouble.empty()}};
}

std::vector<Row> Tutorial::Timeout() {
  const std::string trouble =
      ApplyFile("httpbin-vs", manifests_.timeout, manifests_.timeout_addition);
  const Timed in_time = Fetch(world_, "http://httpbin:8000/delay/2");
  const Timed late = Fetch(world_, "http://httpbin:8000/delay/5");
  return {{"17 time-out", "/delay/2 with timeout: 3s",
           absl::StrFormat("status %d after %.2f s", in_time.status, in_time.took_s),
           in_time.status == 200 && in_time.took_s >= 2 && in_time.took_s < 3},
          {"17 time-out", "/delay/5",
           absl::StrFormat("status %d after %.2f s%s", late.status, late.took_s, trouble),
           late.status == 504 && late.took_s >= 2.9 && late.took_s < 4 && trouble.empty()}};
}

std::vector<Row> Tutorial::Faults() {
  const std::string trouble = ApplyFile("httpbin-vs", manifests_.faults);
  constexpr int kRequests = 200;
  const Finished got = world_.Exec(
      {"curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}\\n", "-Z",
       "--parallel-max", "10", absl::StrCat("http://httpbin:8000/headers?n=[1-", kRequests, "]")},
      seconds(120));
  int delayed = 0, aborted = 0, answered = 0;
  for (absl::string_view line : absl::StrSplit(got.output, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    double took_s = 0;
    if (words.size() != 2 || !absl::SimpleAtod(words[1], &took_s)) continue;
    ++answered;
    aborted += words[0] == "418";
    delayed += took_s >= 0.35;  // Envoy's timers may fire a little early
  }
  const std::string settled = world_.Delete("httpbin-vs");
  return {{"18 faults", "200 requests: half wait 400 ms",
           absl::StrCat(delayed, " of ", answered, " waited", trouble),
           answered == kRequests && FitsShare(delayed, kRequests, 0.5) && trouble.empty()},
          {"18 faults", "a fifth is answered 418", absl::StrCat(aborted, " of ", answered, settled),
           FitsShare(aborted, kRequests, 0.2)}};
}

const std::vector<Tutorial::Step>& Tutorial::Steps() {
  static const auto* const steps = new std::vector<Step>{
      {"TwoVersions", true, [](Tutorial& t) { return t.RoundRobin(); }},
      {"BlueGreen", true, [](Tutorial& t) { return t.BlueGreen(); }},
      {"Weights", true, [](Tutorial& t) { return t.Weights(); }},
      {"Canary", true, [](Tutorial& t) { return t.Canary(); }},
      {"Mirror", true, [](Tutorial& t) { return t.Mirror(); }},
      {"CircuitBreaker", false, [](Tutorial& t) { return t.CircuitBreaker(); }},
      {"Retries", true, [](Tutorial& t) { return t.Retries(); }},
      {"Timeout", true, [](Tutorial& t) { return t.Timeout(); }},
      {"Faults", true, [](Tutorial& t) { return t.Faults(); }},
  };
  return *steps;
}

}  // namespace meltemi::scenarios
