#include "orchestrator/apiserver/chain/health.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kText = "text/plain; charset=utf-8";

Body Text(int code, std::string bytes) {
  Body body{.code = code, .content_type = std::string(kText), .bytes = std::move(bytes)};
  body.fields.emplace_back("x-content-type-options", "nosniff");
  body.fields.emplace_back("cache-control", "no-cache, private");
  return body;
}

bool Excluded(const std::vector<std::string>& excluded, absl::string_view name) {
  return std::find(excluded.begin(), excluded.end(), name) != excluded.end();
}

}  // namespace

Reply Health::Answer(const Request& request, absl::string_view path) const {
  absl::string_view endpoint = path.substr(1);
  absl::string_view wanted;
  if (const size_t slash = endpoint.find('/'); slash != absl::string_view::npos) {
    wanted = endpoint.substr(slash + 1);
    endpoint = endpoint.substr(0, slash);
  }
  const std::vector<std::string> excluded = request.query.All("exclude");
  std::string lines;
  bool found = wanted.empty();
  bool failed = false;
  for (const HealthCheck& check : checks_) {
    if (endpoint == "livez" && !check.live) continue;
    if (!wanted.empty() && check.name != wanted) continue;
    found = true;
    if (Excluded(excluded, check.name)) {
      absl::StrAppend(&lines, "[+]", check.name, " excluded: ok\n");
      continue;
    }
    const absl::Status status = check.check();
    failed |= !status.ok();
    absl::StrAppend(&lines, status.ok() ? "[+]" : "[-]", check.name,
                    status.ok() ? " ok\n" : " failed: reason withheld\n");
    if (!status.ok()) LOG(kWarn, "health", endpoint, "/", check.name, ": ", status.message());
  }
  if (!found) return Text(404, "404 page not found\n");
  if (failed) return Text(500, absl::StrCat(lines, endpoint, " check failed\n"));
  if (!request.query.Get("verbose").has_value()) return Text(200, "ok");
  return Text(200, absl::StrCat(lines, endpoint, " check passed\n"));
}

}  // namespace meltemi::apiserver
