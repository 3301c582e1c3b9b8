#include "orchestrator/controllers/nodes/ipam/cidr_set.h"

#include <arpa/inet.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::controllers {
namespace {

constexpr int kPartBitsMax = 16;  // of the number of parts

}  // namespace

std::optional<CidrSet::Range> CidrSet::Parse(absl::string_view cidr) {
  const size_t slash = cidr.find('/');
  Range range;
  if (slash == absl::string_view::npos || !absl::SimpleAtoi(cidr.substr(slash + 1), &range.bits)) {
    return std::nullopt;
  }
  const std::string address(cidr.substr(0, slash));
  unsigned char bytes[16];
  range.is_ipv6 = address.find(':') != std::string::npos;
  const int all_bits = range.is_ipv6 ? 128 : 32;
  if (inet_pton(range.is_ipv6 ? AF_INET6 : AF_INET, address.c_str(), bytes) != 1) {
    return std::nullopt;
  }
  if (range.bits < 0 || range.bits > all_bits) return std::nullopt;
  for (int i = 0; i < all_bits / 8; ++i) range.base = range.base << 8 | bytes[i];
  const int host_bits = all_bits - range.bits;
  range.base = host_bits == 128 ? 0 : range.base >> host_bits << host_bits;
  return range;
}

absl::StatusOr<CidrSet> CidrSet::Create(absl::string_view cidr, int part_bits) {
  const std::optional<Range> range = Parse(cidr);
  if (!range.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("'", cidr, "' is no CIDR"));
  }
  if (part_bits < range->bits || part_bits > (range->is_ipv6 ? 128 : 32) ||
      part_bits - range->bits > kPartBitsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", cidr, "' can't be divided into parts of /", part_bits));
  }
  CidrSet set;
  set.base_ = range->base;
  set.is_ipv6_ = range->is_ipv6;
  set.bits_ = range->bits;
  set.part_bits_ = part_bits;
  set.parts_ = uint32_t{1} << (part_bits - range->bits);
  return set;
}

std::string CidrSet::Text(uint32_t part) const {
  const int all_bits = is_ipv6_ ? 128 : 32;
  const int shift = all_bits - part_bits_;
  Number number = base_ + (shift == 128 ? 0 : Number{part} << shift);
  unsigned char bytes[16];
  for (int i = all_bits / 8 - 1; i >= 0; --i, number >>= 8) {
    bytes[i] = static_cast<unsigned char>(number & 0xff);
  }
  char text[INET6_ADDRSTRLEN];
  inet_ntop(is_ipv6_ ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
  return absl::StrCat(text, "/", part_bits_);
}

std::optional<uint32_t> CidrSet::PartOf(absl::string_view cidr) const {
  const std::optional<Range> range = Parse(cidr);
  if (!range.has_value() || range->is_ipv6 != is_ipv6_ || range->bits != part_bits_ ||
      range->base < base_) {
    return std::nullopt;
  }
  const int shift = (is_ipv6_ ? 128 : 32) - part_bits_;
  const Number part = shift == 128 ? 0 : (range->base - base_) >> shift;
  if (part >= parts_) return std::nullopt;
  return static_cast<uint32_t>(part);
}

std::optional<std::string> CidrSet::Take(absl::string_view owner) {
  if (owners_.size() >= parts_) return std::nullopt;
  while (owners_.count(next_) != 0) next_ = (next_ + 1) % parts_;
  const uint32_t part = std::exchange(next_, (next_ + 1) % parts_);
  owners_[part] = std::string(owner);
  return Text(part);
}

bool CidrSet::Occupy(absl::string_view cidr, absl::string_view owner) {
  const std::optional<uint32_t> part = PartOf(cidr);
  if (!part.has_value()) return false;
  return owners_.emplace(*part, std::string(owner)).first->second == owner;
}

void CidrSet::Release(absl::string_view cidr, absl::string_view owner) {
  const std::optional<uint32_t> part = PartOf(cidr);
  if (!part.has_value()) return;
  const auto found = owners_.find(*part);
  if (found != owners_.end() && found->second == owner) owners_.erase(found);
}

}  // namespace meltemi::controllers
