#include "pilot/inject/annotations.h"

#include <functional>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/net/address.h"
#include "kube/quantity/quantity.h"

namespace meltemi::pilot {
namespace {

std::optional<bool> ParseBool(absl::string_view text) {
  for (absl::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (absl::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

// Each returns what is wrong, "" when nothing is.
using Check = std::function<std::string(absl::string_view)>;

std::string Bool(absl::string_view text) { return ParseBool(text) ? "" : "must be true or false"; }

std::string Ports(absl::string_view text) {
  for (absl::string_view port : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    uint32_t number = 0;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(port), &number) || number > 65535) {
      return absl::StrCat("\"", port, "\" is no port");
    }
  }
  return "";
}

std::string PortsOrAll(absl::string_view text) { return text == "*" ? "" : Ports(text); }

std::string Ranges(absl::string_view text) {
  for (absl::string_view range : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const absl::StatusOr<net::Cidr> cidr = net::Cidr::Parse(absl::StripAsciiWhitespace(range));
    if (!cidr.ok()) return absl::StrCat("\"", range, "\" is no range of addresses");
  }
  return "";
}

std::string RangesOrAll(absl::string_view text) { return text == "*" ? "" : Ranges(text); }

std::string Number(absl::string_view text) {
  uint32_t number = 0;
  return absl::SimpleAtoi(text, &number) ? "" : "must be a whole number";
}

std::string Port(absl::string_view text) {
  uint32_t number = 0;
  return absl::SimpleAtoi(text, &number) && number > 0 && number <= 65535 ? "" : "must be a port";
}

std::string Quantity(absl::string_view text) {
  return kube::Quantity::Parse(text) ? "" : "must be a quantity such as 100m or 64Mi";
}

std::string RedirectOnly(absl::string_view text) {
  return text == "REDIRECT" ? "" : "only REDIRECT is supported";
}

std::string LogLevel(absl::string_view text) {
  for (absl::string_view level :
       {"trace", "debug", "info", "warn", "warning", "error", "critical", "off"}) {
    if (text == level) return "";
  }
  return "must be trace, debug, info, warning, error, critical or off";
}

const std::map<std::string, Check>& Checks() {
  static const auto* const checks = new std::map<std::string, Check>{
      {"sidecar.istio.io/rewriteAppHTTPProbers", Bool},
      {"sidecar.istio.io/nativeSidecar", Bool},
      {"sidecar.istio.io/interceptionMode", RedirectOnly},
      {"sidecar.istio.io/proxyCPU", Quantity},
      {"sidecar.istio.io/proxyMemory", Quantity},
      {"sidecar.istio.io/proxyCPULimit", Quantity},
      {"sidecar.istio.io/proxyMemoryLimit", Quantity},
      {"sidecar.istio.io/logLevel", LogLevel},
      {"status.sidecar.istio.io/port", Port},
      {"readiness.status.sidecar.istio.io/initialDelaySeconds", Number},
      {"readiness.status.sidecar.istio.io/periodSeconds", Number},
      {"readiness.status.sidecar.istio.io/failureThreshold", Number},
      {"traffic.sidecar.istio.io/includeOutboundIPRanges", RangesOrAll},
      {"traffic.sidecar.istio.io/excludeOutboundIPRanges", Ranges},
      {"traffic.sidecar.istio.io/includeInboundPorts", PortsOrAll},
      {"traffic.sidecar.istio.io/excludeInboundPorts", Ports},
      {"traffic.sidecar.istio.io/includeOutboundPorts", PortsOrAll},
      {"traffic.sidecar.istio.io/excludeOutboundPorts", Ports},
      {"prometheus.istio.io/merge-metrics", Bool},
  };
  return *checks;
}

}  // namespace

TextMap TextsOf(const json::Value* object) {
  TextMap out;
  if (object == nullptr || !object->is_object()) return out;
  for (const json::Member& member : object->members()) {
    if (member.value.is_string()) out[member.key] = member.value.text();
  }
  return out;
}

std::string ValueOr(const TextMap& map, absl::string_view name, absl::string_view otherwise) {
  const auto at = map.find(std::string(name));
  return std::string(at == map.end() ? otherwise : absl::string_view(at->second));
}

bool BoolOr(const TextMap& map, absl::string_view name, bool otherwise) {
  const auto at = map.find(std::string(name));
  return at == map.end() ? otherwise : ParseBool(at->second).value_or(otherwise);
}

absl::Status CheckAnnotations(const TextMap& annotations) {
  for (const auto& [name, check] : Checks()) {
    const auto at = annotations.find(name);
    if (at == annotations.end()) continue;
    const std::string wrong = check(at->second);
    if (wrong.empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("invalid value '", at->second, "' for annotation '", name, "': ", wrong));
  }
  return absl::OkStatus();
}

}  // namespace meltemi::pilot
