// Any text: reading neither crashes nor hangs, and what was read is written as text that is read
// again as the same.
#include <cstdint>
#include <cstdlib>

#include "kube/apps/v1/apps.pb.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/metrics/v1beta1/metrics.pb.h"

namespace {

template <typename T>
void Check(absl::string_view text) {
  T object, again;
  if (!meltemi::kube::FromJson(text, &object, {.keep_managed_fields = true}).ok()) return;
  const std::string written = meltemi::kube::ToJson(object);
  if (!meltemi::kube::FromJson(written, &again, {.keep_managed_fields = true}).ok()) std::abort();
  if (meltemi::kube::ToJson(again) != written) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  Check<meltemi::kube::core::v1::Pod>(text);
  Check<meltemi::kube::apps::v1::StatefulSet>(text);
  Check<meltemi::kube::metrics::v1beta1::PodMetrics>(text);
  std::string type;
  absl::string_view object;
  if (meltemi::kube::SplitWatchEvent(text, &type, &object)) {
    Check<meltemi::kube::core::v1::Pod>(object);
  }
  return 0;
}
