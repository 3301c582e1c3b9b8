// A range of addresses, divided into equal parts that are given out one by one.
//
// Threads: not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::controllers {

class CidrSet {
 public:
  // "10.244.0.0/16" in parts of 24 bits. Error: no such range, a mask that does not fit, or more
  // than 65,536 parts.
  static absl::StatusOr<CidrSet> Create(absl::string_view cidr, int part_bits);

  // The next part after the last that was given out. nullopt: there is none.
  std::optional<std::string> Take(absl::string_view owner);
  // Says that `owner` has this part, as far as it is one of ours and nobody else has it. Whether
  // that is so now.
  bool Occupy(absl::string_view cidr, absl::string_view owner);
  // If it is the owner's.
  void Release(absl::string_view cidr, absl::string_view owner);

  bool is_ipv6() const { return is_ipv6_; }
  size_t taken() const { return owners_.size(); }

 private:
  __extension__ typedef unsigned __int128 Number;
  struct Range {
    Number base = 0;
    int bits = 0;
    bool is_ipv6 = false;
  };

  static std::optional<Range> Parse(absl::string_view cidr);
  std::string Text(uint32_t part) const;
  std::optional<uint32_t> PartOf(absl::string_view cidr) const;

  Number base_ = 0;
  bool is_ipv6_ = false;
  int bits_ = 0, part_bits_ = 0;
  uint32_t parts_ = 0, next_ = 0;
  std::map<uint32_t, std::string> owners_;
};

}  // namespace meltemi::controllers
