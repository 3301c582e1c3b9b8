// Which resource and verb a path means: k8s.io/apiserver/pkg/endpoints/request, RequestInfoFactory.

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/http/query.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {
namespace {

using Parts = absl::Span<const std::string>;

std::vector<std::string> SplitPath(absl::string_view path) {
  while (absl::ConsumePrefix(&path, "/")) {
  }
  while (absl::ConsumeSuffix(&path, "/")) {
  }
  if (path.empty()) return {};
  return absl::StrSplit(path, '/');
}

std::string VerbOf(absl::string_view method) {
  if (method == "POST") return "create";
  if (method == "GET" || method == "HEAD") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

bool IsPathSegment(absl::string_view name) {
  return name != "." && name != ".." && name.find_first_of("/%") == absl::string_view::npos;
}

// A get without a name is a list or a watch, perhaps of the one object that a selector names.
void ReadListOptions(absl::string_view text, RequestInfo* info) {
  const Query query = Query::Parse(text);
  const kube::Result<bool> watch = query.Bool("watch");
  info->verb = watch.ok() && *watch ? "watch" : "list";
  // One bad option and the others are not looked at.
  const bool numbers_ok = query.Int("limit").ok() && query.Int("timeoutSeconds").ok();
  const auto labels = kube::LabelSelector::Parse(query.Get("labelSelector").value_or(""));
  const auto fields = kube::FieldSelector::Parse(query.Get("fieldSelector").value_or(""));
  if (!numbers_ok || !labels.ok() || !fields.ok()) return;
  const std::optional<absl::string_view> name = fields->RequiredValue("metadata.name");
  if (name.has_value() && IsPathSegment(*name)) info->name = std::string(*name);
}

// What comes after the version: [watch|proxy] [namespaces NS] resource [name [subresource …]].
void ReadResource(absl::string_view method, absl::string_view query, Parts parts,
                  RequestInfo* info) {
  if (parts[0] == "watch" || parts[0] == "proxy") {
    if (parts.size() < 2) return;  // a prefix of nothing
    info->verb = parts[0];
    parts.remove_prefix(1);
  } else {
    info->verb = VerbOf(method);
  }
  if (parts[0] == "namespaces" && parts.size() > 1) {
    info->ns = parts[1];
    // A namespace's own subresources are no resources within it.
    if (parts.size() > 2 && parts[2] != "status" && parts[2] != "finalize") parts.remove_prefix(2);
  }
  info->parts.assign(parts.begin(), parts.end());
  info->resource = parts[0];
  if (parts.size() >= 2) info->name = parts[1];
  if (parts.size() >= 3 && info->verb != "proxy") info->subresource = parts[2];
  if (info->name.empty() && info->verb == "get") ReadListOptions(query, info);
  if (info->name.empty() && info->verb == "delete") info->verb = "deletecollection";
}

}  // namespace

RequestInfo ParseRequestInfo(absl::string_view method, absl::string_view path,
                             absl::string_view query) {
  RequestInfo info;
  info.path = DecodePath(path).value_or(std::string(path));
  info.verb = absl::AsciiStrToLower(method);
  const std::vector<std::string> all = SplitPath(info.path);
  Parts parts = all;
  if (parts.size() < 3 || (parts[0] != "api" && parts[0] != "apis")) return info;
  const bool has_group = parts[0] == "apis";
  parts.remove_prefix(1);
  if (has_group) {
    if (parts.size() < 3) return info;
    info.group = parts[0];
    parts.remove_prefix(1);
  }
  info.is_resource = true;
  info.version = parts[0];
  parts.remove_prefix(1);
  ReadResource(method, query, parts, &info);
  return info;
}

}  // namespace meltemi::apiserver
