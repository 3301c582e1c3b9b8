// resource.Quantity: a fixed-point number with a suffix ("100m", "1.5Gi", "2e3").
//
// Threads: plain value types. Source: k8s.io/apimachinery/pkg/api/resource.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kube {

class Quantity {
 public:
  enum class Format : uint8_t { kDecimalSi, kBinarySi, kDecimalExponent };

  Quantity() = default;
  // nullopt: not a quantity; `why` is then told in Kubernetes' words. Values finer than 1n are
  // rounded up. Binary ones larger than 2^63-1 are capped, decimal ones at 10^28.
  static std::optional<Quantity> Parse(absl::string_view text, std::string* why = nullptr);
  static Quantity OfMilli(int64_t milli, Format format = Format::kDecimalSi);
  static Quantity Of(int64_t value, Format format = Format::kDecimalSi);

  // Kubernetes' canonical form: the largest suffix that needs no fraction. What was parsed and
  // could have been canonical by its digits alone is kept as it was written ("1.250"), as there.
  std::string ToString() const;
  Format format() const { return format_; }
  int64_t Value() const;  // rounded up (away from zero) to a whole number, capped
  int64_t MilliValue() const;
  int Sign() const;
  bool IsZero() const { return Sign() == 0; }

  // A zero takes the format of `other`.
  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);
  int Compare(const Quantity& other) const;  // <0, 0, >0
  bool operator==(const Quantity& other) const { return Compare(other) == 0; }
  bool operator<(const Quantity& other) const { return Compare(other) < 0; }

 private:
  __extension__ typedef __int128 Nano;

  Nano nano_ = 0;
  std::string text_;  // as it was written, where ToString() gives it back; else empty
  Format format_ = Format::kDecimalSi;
};

}  // namespace meltemi::kube
