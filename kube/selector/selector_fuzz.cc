// Selectors from texts: what parses is written in a form that parses to the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kube/selector/selector.h"

namespace {

template <typename Selector>
void Check(absl::string_view text) {
  absl::StatusOr<Selector> selector = Selector::Parse(text);
  if (!selector.ok()) {
    if (selector.status().message().empty()) abort();
    return;
  }
  std::string written = selector->ToString();
  absl::StatusOr<Selector> again = Selector::Parse(written);
  if (!again.ok() || again->ToString() != written) abort();
  const meltemi::kube::StringPairs labels = {{"a", "1"}, {"app", "web"}, {"x", ""}};
  if (selector->Matches(labels) != again->Matches(labels)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  Check<meltemi::kube::LabelSelector>(text);
  Check<meltemi::kube::FieldSelector>(text);
  return 0;
}
