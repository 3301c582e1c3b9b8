// A pool of IPv4 addresses: single ones, ranges and networks.
//
// Threads: immutable once parsed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::controllers {

class AddressPool {
 public:
  // "10.0.0.9", "10.0.0.10-10.0.0.20", "10.0.1.0/28" (all of its addresses but the network's and
  // the broadcast one, where it has more than two). Error: InvalidArgument, which part is wrong.
  static absl::StatusOr<AddressPool> Parse(const std::vector<std::string>& parts);

  bool empty() const { return ranges_.empty(); }
  bool Contains(uint32_t address) const;
  // The first that is not taken, in the order of the parts.
  std::optional<uint32_t> FirstFree(const std::function<bool(uint32_t)>& taken) const;

 private:
  struct Range {
    uint32_t first = 0, last = 0;
  };
  std::vector<Range> ranges_;
};

std::optional<uint32_t> ParseIpv4(absl::string_view text);
std::string FormatIpv4(uint32_t address);

}  // namespace meltemi::controllers
