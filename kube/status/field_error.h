// What is wrong with one field of an object, in Kubernetes' words
// (k8s.io/apimachinery/pkg/util/validation/field).
//
// Threads: plain value types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::kube {

// "spec.containers[0].name", "metadata.labels[app]". Cheap to extend, copied by value.
class FieldPath {
 public:
  FieldPath() = default;
  explicit FieldPath(absl::string_view name) : text_(name) {}
  FieldPath Child(absl::string_view name) const;  // ".name", or "name" at the root
  FieldPath Index(size_t index) const;            // "[3]"
  FieldPath Key(absl::string_view key) const;     // "[app]"
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct FieldError {
  enum class Type : uint8_t {
    kNotFound,
    kRequired,
    kDuplicate,
    kInvalid,
    kNotSupported,
    kForbidden,
    kTooLong,
    kTooMany,
    kInternal,
    kTypeInvalid,
  };
  Type type = Type::kInvalid;
  std::string field;
  std::string bad_value;  // as it is printed: strings quoted as Go's %q, objects as JSON
  std::string detail;

  // `spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive`
  std::string ToString() const;
  // Without the field: what a cause of a Status says.
  std::string Body() const;
  // "FieldValueRequired" …: the reason of a cause.
  absl::string_view Reason() const;
};

using FieldErrors = std::vector<FieldError>;

FieldError Required(const FieldPath& path, absl::string_view detail = "");
FieldError InvalidField(const FieldPath& path, const json::Value& value, absl::string_view detail);
FieldError InvalidField(const FieldPath& path, absl::string_view text, absl::string_view detail);
FieldError InvalidField(const FieldPath& path, int64_t number, absl::string_view detail);
// `Unsupported value: "x": supported values: "A", "B"`, in the order given.
FieldError NotSupported(const FieldPath& path, const json::Value& value,
                        std::vector<std::string> supported);
FieldError DuplicateField(const FieldPath& path, const json::Value& value);
FieldError FieldNotFound(const FieldPath& path, const json::Value& value);
FieldError ForbiddenField(const FieldPath& path, absl::string_view detail);
FieldError TooLong(const FieldPath& path, size_t bytes_max);
FieldError TooMany(const FieldPath& path, size_t count, size_t count_max);
FieldError TypeInvalid(const FieldPath& path, const json::Value& value, absl::string_view detail);

// In quotes, with the escapes that Go's %q writes: how messages show texts.
std::string GoQuote(absl::string_view text);

// "[a, b, c]", or the one alone, without repetitions: k8s.io/apimachinery's aggregate.
std::string JoinErrors(const FieldErrors& errors);

}  // namespace meltemi::kube
