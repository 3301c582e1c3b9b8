#include "proxy/app/probes/app_probe.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/syntax.h"
#include "base/json/parse.h"

namespace meltemi::proxy {
namespace {

using json::Value;

constexpr int64_t kTimeoutSecondsMax = 3600;
// Hooks have no time-out of their own: the pod's grace period ends them.
constexpr Duration kHookTimeout = seconds(600);

absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--probes: ", path, ": ", what));
}

absl::Status ReadHeaders(absl::string_view path, const Value* headers, AppProbe* probe) {
  if (headers == nullptr || headers->is_null()) return absl::OkStatus();
  if (!headers->is_array()) return Wrong(path, "httpHeaders must be a list");
  for (const Value& header : headers->items()) {
    std::string name = absl::AsciiStrToLower(header.FindString("name"));
    const absl::string_view value = header.FindString("value");
    if (!http::IsToken(name) || !http::IsValidFieldValue(value)) {
      return Wrong(path, absl::StrCat("\"", name, "\" is no header with a value"));
    }
    probe->headers.emplace_back(std::move(name), value);
  }
  return absl::OkStatus();
}

absl::Status ReadHttp(absl::string_view path, const Value& action, AppProbe* probe) {
  const absl::string_view scheme = action.FindString("scheme");
  if (!scheme.empty() && scheme != "HTTP" && scheme != "HTTPS") {
    return Wrong(path, absl::StrCat("\"", scheme, "\" is neither HTTP nor HTTPS"));
  }
  probe->tls = scheme == "HTTPS";
  const absl::string_view target = action.FindString("path");
  if (!target.empty()) {
    probe->path = absl::StrCat(absl::StartsWith(target, "/") ? "" : "/", target);
  }
  if (!http::IsValidTarget(probe->path)) return Wrong(path, "its path is none");
  return ReadHeaders(path, action.Find("httpHeaders"), probe);
}

absl::StatusOr<AppProbe> ReadProbe(absl::string_view path, const Value& value) {
  AppProbe probe;
  if (absl::StartsWith(path, "/app-lifecycle/")) probe.timeout = kHookTimeout;
  const Value* action = nullptr;
  const std::pair<const char*, AppProbe::Kind> kinds[] = {{"httpGet", AppProbe::Kind::kHttp},
                                                          {"tcpSocket", AppProbe::Kind::kTcp},
                                                          {"grpc", AppProbe::Kind::kGrpc}};
  for (const auto& [name, kind] : kinds) {
    const Value* const found = value.Find(name);
    if (found == nullptr || !found->is_object()) continue;
    if (action != nullptr) return Wrong(path, "it checks more than one thing");
    action = found;
    probe.kind = kind;
  }
  if (action == nullptr) return Wrong(path, "it has none of httpGet, tcpSocket and grpc");
  const Value* const port = action->Find("port");
  const std::optional<int64_t> number = port == nullptr ? std::nullopt : port->AsInt64();
  if (!number || *number < 1 || *number > 65535) return Wrong(path, "its port must be a number");
  probe.port = static_cast<uint16_t>(*number);
  if (const Value* timeout = value.Find("timeoutSeconds")) {
    const int64_t wanted = timeout->AsInt64().value_or(-1);
    if (wanted < 0 || wanted > kTimeoutSecondsMax) {
      return Wrong(path, "timeoutSeconds must be a number from 0 to 3600");
    }
    if (wanted > 0) probe.timeout = seconds(wanted);
  }
  if (probe.kind == AppProbe::Kind::kGrpc)
    probe.service = std::string(action->FindString("service"));
  if (probe.kind != AppProbe::Kind::kHttp) return probe;
  if (absl::Status status = ReadHttp(path, *action, &probe); !status.ok()) return status;
  return probe;
}

}  // namespace

absl::StatusOr<AppProbes> ParseAppProbes(absl::string_view json) {
  const json::ParseLimits limits = {
      .size_bytes_max = 1024 * 1024, .depth_max = 20, .values_max = 100'000};
  const absl::StatusOr<Value> document = json::Parse(json, limits);
  if (!document.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--probes: ", document.status().message()));
  }
  if (!document->is_object()) return absl::InvalidArgumentError("--probes: must be an object");
  AppProbes probes;
  for (const json::Member& member : document->members()) {
    if (!absl::StartsWith(member.key, "/app-health/") &&
        !absl::StartsWith(member.key, "/app-lifecycle/")) {
      return Wrong(member.key, "must be below /app-health/ or /app-lifecycle/");
    }
    absl::StatusOr<AppProbe> probe = ReadProbe(member.key, member.value);
    if (!probe.ok()) return probe.status();
    probes[member.key] = *std::move(probe);
  }
  return probes;
}

}  // namespace meltemi::proxy
