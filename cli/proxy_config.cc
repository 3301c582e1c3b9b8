#include <algorithm>
#include <cstdio>
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

absl::StatusOr<json::Value> FetchDump(const Args& args, const Kind& kind) {
  if (args.Has("admin")) {
    return FetchJson(args.Get("admin"),
                     std::string(kind.xds) == "eds" ? "/config_dump?include_eds" : "/config_dump");
  }
  if (args.rest().size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "which proxy? meltemi proxy-config ", kind.word,
        " NAME.NAMESPACE (see meltemi proxy-status), or --admin IP:PORT of the proxy itself"));
  }
  return FetchJson(args.Get("pilot"), absl::StrCat("/debug/config_dump?type=", kind.xds,
                                                   "&proxyID=", QueryEscape(args.rest()[1])));
}

void PrintJson(const std::vector<const json::Value*>& resources, const Filter& filter) {
  json::Value all = json::Value::Array();
  for (const json::Value* resource : resources) {
    if (filter.AcceptsName(*resource)) all.Append(*resource);
  }
  std::printf("%s\n", json::ToString(all, 2).c_str());
}

int Run(const Args& args) {
  const Kind* kind = args.rest().empty() ? nullptr : FindKind(args.rest()[0]);
  if (kind == nullptr) {
    PrintError("proxy-config what? clusters, listeners, routes or endpoints");
    return 2;
  }
  const absl::StatusOr<json::Value> dump = FetchDump(args, *kind);
  if (!dump.ok()) {
    PrintError(std::string(dump.status().message()));
    return absl::IsInvalidArgument(dump.status()) ? 2 : 1;
  }
  const Filter filter{args.Get("fqdn"), args.Get("port"), args.Get("subset"), args.Get("name")};
  const std::vector<const json::Value*> resources = ResourcesOf(*dump, kind->xds);
  if (args.Get("output") == "json") {
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
  return {"proxy-config",
          "clusters|listeners|routes|endpoints PROXY",
          "what a proxy is configured with",
          "PROXY is NAME.NAMESPACE as proxy-status shows it; what pilot has for it is shown. With\n"
          "--admin the proxy itself is asked for what it has in force, meltemi-proxy or Envoy.",
          {{"pilot", 'p', "IP:PORT", kDefaultPilot, "pilot's debug address"},
           {"admin", 'a', "IP:PORT", "", "the proxy's admin address: ask it instead of pilot"},
           {"fqdn", 0, "HOST", "", "only this service"},
           {"port", 0, "PORT", "", "only this port"},
           {"subset", 0, "NAME", "", "only this subset (clusters, endpoints)"},
           {"name", 0, "NAME", "", "only the resource of this name"},
           {"output", 'o', "json|table", "table", "form of the output"}},
          &Run};
}

}  // namespace meltemi::cli
