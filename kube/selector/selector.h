// Label selectors ("a=b,c in (d,e),!f", and metav1.LabelSelector) and field selectors
// ("metadata.name=x,spec.nodeName!=y").
//
// Threads: immutable once parsed. Source: k8s.io/apimachinery/pkg/{labels,fields}.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::kube {

// Sorted by key: how selectors want labels and fields.
using StringPairs = std::vector<std::pair<std::string, std::string>>;

class LabelSelector {
 public:
  enum class Operator : uint8_t {
    kEquals,
    kNotEquals,
    kIn,
    kNotIn,
    kExists,
    kNotExists,
    kGreater,
    kLess,
  };
  struct Requirement {
    std::string key;
    Operator op = Operator::kEquals;
    std::vector<std::string> values;  // sorted
  };

  LabelSelector() = default;  // matches everything
  // Error: InvalidArgument with Kubernetes' text.
  static absl::StatusOr<LabelSelector> Parse(absl::string_view text);
  // metav1.LabelSelector: matchLabels and matchExpressions. Null or missing matches nothing, empty
  // matches everything.
  static absl::StatusOr<LabelSelector> FromJson(const json::Value* selector);
  static LabelSelector Nothing();

  bool Matches(const StringPairs& labels) const;
  bool empty() const { return requirements_.empty() && !nothing_; }
  const std::vector<Requirement>& requirements() const { return requirements_; }
  std::string ToString() const;

 private:
  bool nothing_ = false;
  std::vector<Requirement> requirements_;
};

class FieldSelector {
 public:
  struct Term {
    std::string field, value;
    bool equals = true;
  };

  FieldSelector() = default;
  static absl::StatusOr<FieldSelector> Parse(absl::string_view text);

  // `field_of` gives the text of a field; fields that are not known are the caller's matter.
  bool Matches(const std::function<absl::string_view(absl::string_view field)>& field_of) const;
  bool Matches(const StringPairs& fields) const;
  bool empty() const { return terms_.empty(); }
  const std::vector<Term>& terms() const { return terms_; }
  // The value that the field must have, where the selector says so.
  std::optional<absl::string_view> RequiredValue(absl::string_view field) const;
  std::string ToString() const;

 private:
  std::vector<Term> terms_;
};

}  // namespace meltemi::kube
