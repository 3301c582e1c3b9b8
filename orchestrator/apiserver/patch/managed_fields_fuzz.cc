// Three lines: a live object, an applied configuration, an update of the outcome. Applying twice
// changes nothing the second time, and what is recorded reads back as it was written.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/patch/managers.h"
#include "orchestrator/apiserver/patch/schema_fake.h"

namespace {

using meltemi::json::Value;
namespace apiserver = meltemi::apiserver;

void CheckFields(const Value& object) {
  const Value* fields = object.Find("metadata", "managedFields");
  if (fields == nullptr) return;
  std::optional<apiserver::Managers> managers = apiserver::Managers::FromJson(*fields);
  if (!managers.has_value() || !((*std::move(managers)).ToJson() == *fields)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<Value> documents;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    absl::StatusOr<Value> document = meltemi::json::Parse(line);
    if (!document.ok() || !document->is_object()) return 0;
    documents.push_back(*std::move(document));
  }
  if (documents.size() != 3) return 0;
  apiserver::SchemaArena arena;
  const apiserver::Schema& schema = apiserver::PodSchemaFake(arena);
  apiserver::FieldManager manager;
  manager.name = "fuzz";
  manager.api_version = "v1";
  manager.time = "2026-01-01T00:00:00Z";
  meltemi::kube::Result<Value> once =
      apiserver::Apply(schema, documents[0], documents[1], manager, /*force=*/true);
  if (once.ok()) {
    CheckFields(*once);
    meltemi::kube::Result<Value> twice =
        apiserver::Apply(schema, *once, documents[1], manager, /*force=*/false);
    if (!twice.ok() || !(*twice == *once)) abort();
  }
  const Value& live = once.ok() ? *once : documents[0];
  Value updated = documents[2];
  apiserver::TrackUpdate(schema, live, manager, updated);
  CheckFields(updated);
  return 0;
}
