#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "cli/config_dump.h"
#include "cli/fetch.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

struct Kind {
  const char* word;
  const char* xds;
  Table (*table)(const std::vector<const json::Value*>& resources, const Filter& filter);
};

constexpr Kind kKinds[] = {
    {"clusters", "cds", &ClusterTable},
    {"listeners", "lds", &ListenerTable},
    {"routes", "rds", &RouteTable},
    {"endpoints", "eds", &EndpointTable},
};

const Kind* FindKind(const std::string& word) {
  for (const Kind& kind : kKinds) {
    // "cluster" and "clusters", as people write it.
    if (word == kind.word || absl::StrCat(word, "s") == kind.word) return &kind;
  }
  return nullptr;
}

struct Options {
  std::string pilot = kDefaultPilot;
  std::string admin;
  Filter filter;
  std::string output = "table";
};

absl::StatusOr<json::Value> FetchDump(const Options& options, const std::vector<std::string>& rest,
                                      const Kind& kind) {
  if (!options.admin.empty()) {
    return FetchJson(options.admin,
                     std::string(kind.xds) == "eds" ? "/config_dump?include_eds" : "/config_dump");
  }
  if (rest.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "which proxy? meltemi proxy-config ", kind.word,
        " NAME.NAMESPACE (see meltemi proxy-status), or --admin IP:PORT of the proxy itself"));
  }
  return FetchJson(options.pilot, absl::StrCat("/debug/config_dump?type=", kind.xds,
                                               "&proxyID=", QueryEscape(rest[1])));
}

void PrintJson(const std::vector<const json::Value*>& resources, const Filter& filter) {
  json::Value all = json::Value::Array();
  for (const json::Value* resource : resources) {
    if (filter.AcceptsName(*resource)) all.Append(*resource);
  }
  std::printf("%s\n", json::ToString(all, 2).c_str());
}

int Run(const Options& options, const std::vector<std::string>& rest) {
  const Kind* kind = rest.empty() ? nullptr : FindKind(rest[0]);
  if (kind == nullptr) {
    PrintError("proxy-config what? clusters, listeners, routes or endpoints");
    return 2;
  }
  const absl::StatusOr<json::Value> dump = FetchDump(options, rest, *kind);
  if (!dump.ok()) {
    PrintError(std::string(dump.status().message()));
    return absl::IsInvalidArgument(dump.status()) ? 2 : 1;
  }
  const Filter& filter = options.filter;
  const std::vector<const json::Value*> resources = ResourcesOf(*dump, kind->xds);
  if (options.output == "json") {
    PrintJson(resources, filter);
    return 0;
  }
  const Table table = kind->table(resources, filter);
  if (table.empty()) {
    std::printf("No %s%s.\n", kind->word, resources.empty() ? "" : " fit the filter");
    return 0;
  }
  std::fputs(table.ToString().c_str(), stdout);
  return 0;
}

}  // namespace

Verb ProxyConfigVerb() {
  return {
      "proxy-config", "clusters|listeners|routes|endpoints PROXY",
      "what a proxy is configured with",
      "PROXY is NAME.NAMESPACE as proxy-status shows it; what pilot has for it is shown. With\n"
      "--admin the proxy itself is asked for what it has in force, meltemi-proxy or Envoy.",
      [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
        auto options = std::make_shared<Options>();
        Filter& filter = options->filter;
        flags.Text("pilot", {"p"}, &options->pilot, "IP:PORT", "pilot's debug address");
        flags.Text("admin", {"a"}, &options->admin, "IP:PORT",
                   "the proxy's admin address: ask it instead of pilot");
        flags.Text("fqdn", {}, &filter.fqdn, "HOST", "only this service");
        flags.Text("port", {}, &filter.port, "PORT", "only this port");
        flags.Text("subset", {}, &filter.subset, "NAME", "only this subset (clusters, endpoints)");
        flags.Text("name", {}, &filter.name, "NAME", "only the resource of this name");
        flags.Choice("output", {"o"}, &options->output, {"json", "table"}, "form of the output");
        return [options](const std::vector<std::string>& rest) { return Run(*options, rest); };
      }};
}

}  // namespace meltemi::cli
