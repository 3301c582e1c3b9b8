#include "orchestrator/controllers/services/address_pool.h"

#include <arpa/inet.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::controllers {

std::optional<uint32_t> ParseIpv4(absl::string_view text) {
  in_addr parsed{};
  if (inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return std::nullopt;
  return ntohl(parsed.s_addr);
}

std::string FormatIpv4(uint32_t address) {
  return absl::StrCat(address >> 24, ".", (address >> 16) & 255, ".", (address >> 8) & 255, ".",
                      address & 255);
}

absl::StatusOr<AddressPool> AddressPool::Parse(const std::vector<std::string>& parts) {
  AddressPool out;
  for (const std::string& part : parts) {
    std::optional<uint32_t> first, last;
    const size_t dash = part.find('-'), slash = part.find('/');
    if (dash != std::string::npos) {
      first = ParseIpv4(part.substr(0, dash));
      last = ParseIpv4(part.substr(dash + 1));
    } else if (slash != std::string::npos) {
      int bits = -1;
      first = ParseIpv4(part.substr(0, slash));
      if (first.has_value() && absl::SimpleAtoi(part.substr(slash + 1), &bits) && bits >= 8 &&
          bits <= 32) {
        const uint32_t mask = bits == 32 ? 0 : 0xffffffffU >> bits;
        const bool has_ends = bits < 31;  // a network's and a broadcast address
        last = (*first | mask) - (has_ends ? 1 : 0);
        first = (*first & ~mask) + (has_ends ? 1 : 0);
      }
    } else {
      first = last = ParseIpv4(part);
    }
    if (!first.has_value() || !last.has_value() || *first > *last) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", part,
                       "' is no IPv4 address, no range of two (A-B) and no network of 8 "
                       "to 32 bits (A/BITS)"));
    }
    out.ranges_.push_back({*first, *last});
  }
  return out;
}

bool AddressPool::Contains(uint32_t address) const {
  for (const Range& range : ranges_) {
    if (address >= range.first && address <= range.last) return true;
  }
  return false;
}

std::optional<uint32_t> AddressPool::FirstFree(const std::function<bool(uint32_t)>& taken) const {
  for (const Range& range : ranges_) {
    for (uint64_t address = range.first; address <= range.last; ++address) {
      if (!taken(static_cast<uint32_t>(address))) return static_cast<uint32_t>(address);
    }
  }
  return std::nullopt;
}

}  // namespace meltemi::controllers
