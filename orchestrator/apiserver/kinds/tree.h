// Reading and comparing parts of objects while they are defaulted and validated.
//
// Threads: functions without state. Readers take any tree: what is missing or of another type reads
// as empty, since types have been checked before (schema/walk.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

// The member, or a null value.
const json::Value& Get(const json::Value& object, absl::string_view key);
template <typename... Keys>
const json::Value& Get(const json::Value& object, absl::string_view key, absl::string_view next,
                       Keys... rest) {
  return Get(Get(object, key), next, rest...);
}
// There is such a member and it is not null.
bool Has(const json::Value& object, absl::string_view key);
absl::string_view Text(const json::Value& object, absl::string_view key);
std::optional<int64_t> OptionalInt(const json::Value& object, absl::string_view key);
int64_t Int(const json::Value& object, absl::string_view key, int64_t fallback = 0);
bool Bool(const json::Value& object, absl::string_view key, bool fallback = false);
const std::vector<json::Value>& Items(const json::Value& object, absl::string_view key);
const std::vector<json::Member>& Members(const json::Value& object, absl::string_view key);

// Sets the member where there is none (or null).
void SetDefault(json::Value& object, absl::string_view key, json::Value value);
void SetDefault(json::Value& object, absl::string_view key, absl::string_view text);
void SetDefault(json::Value& object, absl::string_view key, int64_t number);
// The member if it is an object, else null: never adds one.
json::Value* MutableMember(json::Value& object, absl::string_view key);
std::vector<json::Value>* MutableItems(json::Value& object, absl::string_view key);
// Puts a copy of the member of `from` into `to`, or removes it there.
void CopyMember(const json::Value& from, absl::string_view key, json::Value& to);

// Equal as Kubernetes compares: the order of members does not count, numbers count by value, and a
// missing member equals null, an empty list and an empty map of texts.
bool Same(const json::Value& a, const json::Value& b);
bool SameMember(const json::Value& a, const json::Value& b, absl::string_view key);

// Values as they are printed by Go's %#v, which Kubernetes shows for what is neither text nor
// number.
std::string GoText(absl::string_view text);
std::string GoTextMap(const json::Value& map);             // map[string]string{"a":"b"}
std::string GoTextList(const json::Value& list);           // []string{"a", "b"}
std::string GoLabelSelector(const json::Value& selector);  // v1.LabelSelector{MatchLabels:…}

// `Invalid value: PRINTED: detail`, for values that are printed in such a way.
kube::FieldError InvalidPrinted(const kube::FieldPath& path, std::string printed,
                                absl::string_view detail);
// `field is immutable` unless the two are the same; the value is printed as JSON.
void ValidateImmutable(const json::Value& old_value, const json::Value& value,
                       const kube::FieldPath& path, kube::FieldErrors& errors);
// `must be greater than or equal to 0`.
void ValidateNonNegative(int64_t value, const kube::FieldPath& path, kube::FieldErrors& errors);
void ValidateNonNegative(const json::Value& object, absl::string_view key,
                         const kube::FieldPath& parent, kube::FieldErrors& errors);
// `Unsupported value`, where the member's text is none of `supported`; `required`: an empty one is
// "Required value", else it is passed over.
void ValidateOneOf(const json::Value& object, absl::string_view key, const kube::FieldPath& parent,
                   const std::vector<std::string>& supported, bool required,
                   kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
