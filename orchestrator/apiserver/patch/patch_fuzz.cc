// A document and a patch, on two lines, through all kinds of patches: nothing breaks, and a merge
// patch that is applied twice changes nothing more.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "base/json/parse.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/patch/same_json.h"
#include "orchestrator/apiserver/patch/schema_fake.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meltemi::json::Value;
  namespace apiserver = meltemi::apiserver;
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  size_t divide = text.find('\n');
  if (divide == absl::string_view::npos) return 0;
  absl::StatusOr<Value> object = meltemi::json::Parse(text.substr(0, divide));
  absl::StatusOr<Value> patch = meltemi::json::Parse(text.substr(divide + 1));
  if (!object.ok() || !patch.ok()) return 0;
  meltemi::kube::Result<Value> patched = apiserver::ApplyJsonPatch(*object, *patch);
  if (patched.ok() && apiserver::DepthOf(*patched) > 200) abort();
  Value merged = apiserver::ApplyMergePatch(*object, *patch);
  if (!apiserver::SameJson(apiserver::ApplyMergePatch(merged, *patch), merged)) abort();
  apiserver::SchemaArena arena;
  const apiserver::Schema& schema = apiserver::PodSchemaFake(arena);
  meltemi::kube::Result<Value> strategic = apiserver::ApplyStrategicMerge(schema, *object, *patch);
  if (!strategic.ok() && strategic.status().message.empty()) abort();
  return 0;
}
