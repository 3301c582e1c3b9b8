#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "cli/fetch.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

constexpr const char* kTypes[] = {"cds", "lds", "eds", "rds"};

std::string StateOf(const json::Value& proxy, const char* type) {
  const json::Value* status = proxy.Find(type);
  return status == nullptr ? "" : std::string(status->FindString("state"));
}

std::string NumberOf(const json::Value& value, const char* key) {
  const json::Value* number = value.Find(key);
  return number == nullptr ? "" : number->text();
}

void PrintRejections(const json::Value& proxy) {
  for (const char* type : kTypes) {
    const json::Value* status = proxy.Find(type);
    if (status == nullptr || status->FindString("error").empty()) continue;
    std::printf("\n%s rejected %s:\n  %s\n", std::string(proxy.FindString("proxy")).c_str(), type,
                std::string(status->FindString("error")).c_str());
  }
}

// 1 if some proxy has rejected something.
int Print(const json::Value& page, const std::string& wanted) {
  Table table({"NAME", "KIND", "CDS", "LDS", "EDS", "RDS", "SNAPSHOT", "ADDRESS"});
  bool rejected = false;
  const json::Value* proxies = page.Find("proxies");
  if (proxies == nullptr) return 1;
  std::vector<const json::Value*> shown;
  for (const json::Value& proxy : proxies->items()) {
    if (!wanted.empty() && proxy.FindString("proxy") != wanted &&
        proxy.FindString("node_id") != wanted) {
      continue;
    }
    shown.push_back(&proxy);
    std::vector<std::string> row = {std::string(proxy.FindString("proxy")),
                                    std::string(proxy.FindString("kind"))};
    for (const char* type : kTypes) {
      row.push_back(StateOf(proxy, type));
      rejected = rejected || row.back() == "REJECTED";
    }
    row.push_back(NumberOf(proxy, "snapshot_version"));
    row.push_back(std::string(proxy.FindString("address")));
    table.Add(std::move(row));
  }
  if (shown.empty()) {
    if (!wanted.empty()) {
      PrintError(absl::StrCat("no proxy \"", wanted, "\" is connected"));
      return 1;
    }
    std::printf("No proxy is connected.\n");
    return 0;
  }
  table.Sort();
  std::fputs(table.ToString().c_str(), stdout);
  for (const json::Value* proxy : shown) PrintRejections(*proxy);
  return rejected ? 1 : 0;
}

std::string Joined(const json::Value& page, const char* key) {
  std::string text;
  const json::Value* list = page.Find(key);
  if (list == nullptr) return text;
  for (const json::Value& item : list->items()) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", item.text());
  }
  return text;
}

// Asks until every proxy has acknowledged what pilot's configuration says now. 0: settled; else a
// message was printed.
int WaitUntilSettled(const std::string& pilot, absl::Duration wait_max, uint32_t proxies_min) {
  const absl::Time end = absl::Now() + wait_max;
  std::string version;  // of the snapshot that holds what is written now
  while (true) {
    const absl::StatusOr<json::Value> page = FetchJson(
        pilot, absl::StrCat("/debug/settled", version.empty() ? "" : "?version=", version));
    if (!page.ok()) {
      PrintError(std::string(page.status().message()));
      return 1;
    }
    if (version.empty()) version = NumberOf(*page, "snapshot_version");
    if (version == "0") version.clear();
    const json::Value* settled = page->Find("settled");
    const json::Value* proxies = page->Find("proxies");
    const int64_t connected = proxies == nullptr ? 0 : proxies->AsInt64().value_or(0);
    if (settled != nullptr && settled->bool_value() && connected >= proxies_min) return 0;
    if (const std::string rejected = Joined(*page, "rejected"); !rejected.empty()) {
      PrintError(absl::StrCat("rejected by ", rejected));
      return 1;
    }
    if (absl::Now() > end) {
      PrintError(absl::StrCat("still waiting after ", absl::FormatDuration(wait_max), " for ",
                              connected < proxies_min ? absl::StrCat(proxies_min - connected,
                                                                     " more proxies to connect")
                                                      : Joined(*page, "waiting")));
      return 1;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
}

struct Options {
  std::string pilot = kDefaultPilot;
  Duration wait_max = Duration::zero();
  uint32_t proxies_min = 0;
  std::string output = "table";
  bool objects = false;
};

// Objects, or those that are not with every proxy that they concern. 1 if some are not.
int PrintObjects(const json::Value& page) {
  const json::Value* objects = page.Find("objects");
  if (objects == nullptr) return 1;
  Table table({"OBJECT", "GENERATION", "PROXIES", "STATE", "REASON"});
  bool all = true;
  for (const json::Value& object : objects->items()) {
    const bool programmed =
        object.Find("programmed") != nullptr && object.Find("programmed")->bool_value();
    const bool accepted =
        object.Find("accepted") != nullptr && object.Find("accepted")->bool_value();
    const std::string nack(object.FindString("first_nack"));
    all = all && programmed;
    table.Add({absl::StrCat(object.FindString("kind"), "/", object.FindString("name"), ".",
                            object.FindString("namespace")),
               NumberOf(object, "generation"),
               absl::StrCat(NumberOf(object, "acknowledged"), "/", NumberOf(object, "concerned")),
               programmed      ? "PROGRAMMED"
               : !accepted     ? "NOT ACCEPTED"
               : !nack.empty() ? "REJECTED"
                               : "WAITING",
               !nack.empty() ? nack : std::string(object.FindString("message"))});
  }
  table.Sort();
  std::fputs(table.ToString().c_str(), stdout);
  return all ? 0 : 1;
}

int Run(const Options& options, const std::vector<std::string>& rest) {
  if (options.wait_max > Duration::zero()) {
    return WaitUntilSettled(options.pilot, absl::FromChrono(options.wait_max), options.proxies_min);
  }
  const absl::StatusOr<json::Value> page =
      FetchJson(options.pilot, options.objects ? "/debug/programmed" : "/debug/syncz");
  if (!page.ok()) {
    PrintError(std::string(page.status().message()));
    return 1;
  }
  if (options.output == "json") {
    std::printf("%s\n", json::ToString(*page, 2).c_str());
    return 0;
  }
  if (options.objects) return PrintObjects(*page);
  return Print(*page, rest.empty() ? "" : rest[0]);
}

}  // namespace

Verb ProxyStatusVerb() {
  return {
      "proxy-status", "[PROXY]", "which proxies are connected and how far each has come",
      "Per type of configuration: SYNCED (has acknowledged the newest), STALE (has been sent\n"
      "something it has not answered yet), REJECTED (refused it; the reason follows the\n"
      "table), NOT ASKED. Exit code 1 if a proxy has rejected something.",
      [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
        auto options = std::make_shared<Options>();
        flags.Text("pilot", {"p"}, &options->pilot, "IP:PORT", "pilot's debug address");
        flags.Time("wait", {"w"}, &options->wait_max,
                   "print nothing; return once every proxy has acknowledged what pilot's files "
                   "say now");
        flags.Number("proxies", {"n"}, &options->proxies_min, 0, 1'000'000,
                     "with --wait: also wait until N proxies are connected");
        flags.Switch("objects", {}, &options->objects,
                     "instead of proxies: objects, how many proxies each concerns, and how many of "
                     "those enforce it; exit code 1 if one does not");
        flags.Choice("output", {"o"}, &options->output, {"json", "table"}, "form of the output");
        return [options](const std::vector<std::string>& rest) { return Run(*options, rest); };
      }};
}

}  // namespace meltemi::cli
