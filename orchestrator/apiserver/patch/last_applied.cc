#include "orchestrator/apiserver/patch/last_applied.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/patch/field_walk.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kAnnotation = "kubectl.kubernetes.io/last-applied-configuration";
// Of all annotations of an object together.
constexpr size_t kAnnotationsBytesMax = 256 * 1024;

Value Sorted(const Value& value) {
  Value out = value;
  for (Value& item : out.items()) item = Sorted(item);
  for (json::Member& member : out.members()) member.value = Sorted(member.value);
  std::sort(out.members().begin(), out.members().end(),
            [](const json::Member& a, const json::Member& b) { return a.key < b.key; });
  return out;
}

}  // namespace

FieldSet LastAppliedFields(const Schema& schema, const Value& live,
                           const std::string& api_version) {
  const Value* text = live.Find("metadata", "annotations", kAnnotation);
  if (text == nullptr || text->text().empty()) return {};
  absl::StatusOr<Value> applied = json::Parse(text->text());
  if (!applied.ok() || applied->FindString("apiVersion") != api_version) return {};
  if (!CheckApplied(schema, *applied).empty()) return {};
  Comparison since = CompareObjects(schema, *applied, live);
  return Difference(Difference(Difference(FieldsOf(schema, *applied), since.modified), since.added),
                    since.removed);
}

void UpdateLastApplied(const Value& applied, Value* object) {
  Value* metadata = object->Find("metadata");
  Value* annotations = metadata == nullptr ? nullptr : metadata->Find("annotations");
  if (annotations == nullptr || annotations->FindString(kAnnotation).empty()) return;
  Value bare = Sorted(applied);
  if (Value* own = bare.Find("metadata")) {
    if (Value* own_annotations = own->Find("annotations")) own_annotations->Remove(kAnnotation);
  }
  std::string text = absl::StrCat(json::ToString(bare), "\n");
  size_t bytes = text.size() + kAnnotation.size();
  for (const json::Member& member : annotations->members()) {
    if (member.key != kAnnotation) bytes += member.key.size() + member.value.text().size();
  }
  if (bytes > kAnnotationsBytesMax) {
    annotations->Remove(kAnnotation);
  } else {
    annotations->Set(kAnnotation, Value::String(std::move(text)));
  }
}

}  // namespace meltemi::apiserver
