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
  // nullopt: not a quantity. Values finer than 1n are rounded up; larger than 2^63-1 are capped.
  static std::optional<Quantity> Parse(absl::string_view text);
  static Quantity OfMilli(int64_t milli, Format format = Format::kDecimalSi);
  static Quantity Of(int64_t value, Format format = Format::kDecimalSi);

  // Kubernetes' canonical form: the largest suffix that needs no fraction.
  std::string ToString() const;
  int64_t Value() const;  // rounded up to a whole number, capped
  int64_t MilliValue() const;
  int Sign() const;
  bool IsZero() const { return Sign() == 0; }

  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);
  int Compare(const Quantity& other) const;  // <0, 0, >0
  bool operator==(const Quantity& other) const { return Compare(other) == 0; }
  bool operator<(const Quantity& other) const { return Compare(other) < 0; }

 private:
  __int128 nano_ = 0;
  Format format_ = Format::kDecimalSi;
};

}  // namespace meltemi::kube
