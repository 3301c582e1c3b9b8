// Quantities from texts: what is written reads back as the same value and the same text.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kube/quantity/quantity.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meltemi::kube::Quantity;
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  std::string why;
  std::optional<Quantity> quantity = Quantity::Parse(text, &why);
  if (!quantity.has_value()) {
    if (why.empty()) abort();
    return 0;
  }
  std::string written = quantity->ToString();
  std::optional<Quantity> again = Quantity::Parse(written);
  if (!again.has_value() || !(*again == *quantity) || again->ToString() != written) abort();
  Quantity sum = *quantity;
  sum -= *again;
  if (!sum.IsZero()) abort();
  if ((quantity->Value() > 0) != (quantity->Sign() > 0)) abort();
  return 0;
}
