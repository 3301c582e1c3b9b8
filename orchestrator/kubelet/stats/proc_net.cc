#include "orchestrator/kubelet/stats/proc_net.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kInterfacesMax = 64;

}  // namespace

std::vector<InterfaceSample> ParseNetDev(absl::string_view text) {
  std::vector<InterfaceSample> out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t colon = line.rfind(':');
    if (colon == absl::string_view::npos || out.size() >= kInterfacesMax) continue;
    const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, colon));
    if (name == "lo" || absl::StartsWith(name, "veth")) continue;
    // Bytes, packets, errors, … received (8 columns), then the same sent.
    const std::vector<absl::string_view> numbers =
        absl::StrSplit(line.substr(colon + 1), ' ', absl::SkipEmpty());
    InterfaceSample sample;
    sample.name = std::string(name);
    if (numbers.size() >= 11 && absl::SimpleAtoi(numbers[0], &sample.rx_bytes) &&
        absl::SimpleAtoi(numbers[2], &sample.rx_errors) &&
        absl::SimpleAtoi(numbers[8], &sample.tx_bytes) &&
        absl::SimpleAtoi(numbers[10], &sample.tx_errors)) {
      out.push_back(std::move(sample));
    }
  }
  return out;
}

}  // namespace meltemi::kubelet
