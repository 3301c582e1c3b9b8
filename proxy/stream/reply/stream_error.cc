#include "proxy/stream/reply/stream_error.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

struct FlagName {
  uint32_t bit;
  absl::string_view name;
};

// In Envoy's order, which is not that of our bits at the end.
constexpr std::array<FlagName, 23> kFlagNames = {{
    {kFlagLocalHealthFail, "LH"},
    {kFlagNoHealthyUpstream, "UH"},
    {kFlagUpstreamTimeout, "UT"},
    {kFlagLocalReset, "LR"},
    {kFlagUpstreamReset, "UR"},
    {kFlagUpstreamConnFail, "UF"},
    {kFlagUpstreamConnTerm, "UC"},
    {kFlagUpstreamOverflow, "UO"},
    {kFlagNoRoute, "NR"},
    {kFlagDelayInjected, "DI"},
    {kFlagFaultInjected, "FI"},
    {kFlagRateLimited, "RL"},
    {kFlagUnauthorized, "UAEX"},
    {kFlagDownstreamConnTerm, "DC"},
    {kFlagRetryLimit, "URX"},
    {kFlagStreamIdleTimeout, "SI"},
    {kFlagInvalidEnvoyHeader, "IH"},
    {kFlagDownstreamProtocol, "DPE"},
    {kFlagMaxConnDuration, "UMSDR"},
    {kFlagDurationTimeout, "DT"},
    {kFlagUpstreamProtocol, "UPE"},
    {kFlagNoCluster, "NC"},
    {kFlagOverloadManager, "OM"},
}};

}  // namespace

std::string ResponseFlagsText(uint32_t flags) {
  if (flags == 0) return "-";
  std::string text;
  for (const FlagName& flag : kFlagNames) {
    if ((flags & flag.bit) != 0) absl::StrAppend(&text, text.empty() ? "" : ",", flag.name);
  }
  return text;
}

uint32_t ResponseFlagFromName(absl::string_view name) {
  for (const FlagName& flag : kFlagNames) {
    if (flag.name == name) return flag.bit;
  }
  return 0;
}

}  // namespace meltemi::proxy
