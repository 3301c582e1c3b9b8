// Any text as a manifest: neither a crash nor a hang, and every object that comes out has what the
// header promises.
#include <google/protobuf/message.h>

#include <cstdint>
#include <cstdlib>

#include "base/protojson/encode.h"
#include "pilot/ingest/decode/manifests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 200'000) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const meltemi::pilot::Manifests manifests = meltemi::pilot::DecodeManifests(text, "f.yaml");
  for (const meltemi::pilot::ObjectPtr& object : manifests.objects) {
    if (object->spec == nullptr || object->meta.name.empty()) std::abort();
    meltemi::protojson::ToJson(*object->spec);
    object->LineOf("spec.http[0].route[1].weight");
  }
  if (!manifests.complete && manifests.diagnostics.empty()) std::abort();
  return 0;
}
