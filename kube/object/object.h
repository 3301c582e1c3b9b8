// Reading and writing the parts that all Kubernetes objects share, on their JSON trees.
//
// Threads: functions without state. Readers take any tree: what is missing or of another kind reads
// as empty, so that they can be used before validation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/names/names.h"

namespace meltemi::kube {

GroupVersionKind KindOf(const json::Value& object);

// The member `metadata`, or an empty object.
const json::Value& Metadata(const json::Value& object);
json::Value& MutableMetadata(json::Value& object);

absl::string_view Name(const json::Value& object);
absl::string_view Namespace(const json::Value& object);
absl::string_view Uid(const json::Value& object);
absl::string_view ResourceVersion(const json::Value& object);
int64_t Generation(const json::Value& object);
NamespacedName NameOf(const json::Value& object);

// The value, or nullopt when there is no such label or annotation.
std::optional<absl::string_view> Label(const json::Value& object, absl::string_view key);
std::optional<absl::string_view> Annotation(const json::Value& object, absl::string_view key);
void SetLabel(json::Value& object, absl::string_view key, absl::string_view value);
void SetAnnotation(json::Value& object, absl::string_view key, absl::string_view value);
std::vector<std::pair<std::string, std::string>> Labels(const json::Value& object);

bool BeingDeleted(const json::Value& object);  // has a deletionTimestamp
std::vector<std::string> Finalizers(const json::Value& object);

// A value by dotted path of plain member names: "spec.replicas". Null when a step is missing.
const json::Value* At(const json::Value& object, absl::string_view dotted_path);
// As text: strings as they are, numbers and booleans as JSON writes them, else "".
std::string TextAt(const json::Value& object, absl::string_view dotted_path);
int64_t IntAt(const json::Value& object, absl::string_view dotted_path, int64_t fallback);
bool BoolAt(const json::Value& object, absl::string_view dotted_path, bool fallback);

// metav1.Time's notation, UTC, whole seconds: "2026-01-02T03:04:05Z"; and with microseconds
// (metav1.MicroTime).
std::string FormatTime(int64_t unix_seconds);
std::string FormatMicroTime(int64_t unix_microseconds);
// RFC 3339 with any offset and fraction; nullopt when it is none.
std::optional<int64_t> ParseTimeMicros(absl::string_view text);

}  // namespace meltemi::kube
