// A schema and an object, one JSON array of the two: whatever they are, nothing is harmed, and what
// has been pruned and defaulted stays as it is when that is done again.
#include <cstdint>
#include <cstdlib>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/from_openapi.h"
#include "orchestrator/apiserver/schema/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi;
  using namespace meltemi::apiserver;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  json::ParseLimits limits;
  limits.size_bytes_max = 64 * 1024;
  const auto pair = json::Parse(text, limits);
  if (!pair.ok() || pair->items().size() != 2) return 0;
  const json::Value& source = pair->items()[0];
  json::Value object = pair->items()[1];
  CheckOpenApi(source, {.status_subresource = true}, kube::FieldPath("s"));
  SchemaArena arena;
  const Schema& schema = *CompileOpenApi(source, arena);
  CheckTypes(schema, object);
  Prune(schema, object);
  ApplyDefaults(schema, object);
  Validate(schema, object, kube::FieldPath());
  Prune(schema, object);
  const std::string once = json::ToString(object);
  if (!Prune(schema, object).empty() || json::ToString(object) != once) std::abort();
  ValidateUpdate(schema, object, pair->items()[1], kube::FieldPath("x"));
  return 0;
}
