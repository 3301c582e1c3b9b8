// A set of fields of an object: what one manager owns. It is a tree like the object's, and has the
// form of FieldsV1 in JSON.
//
// Threads: a plain value type. Source: sigs.k8s.io/structured-merge-diff/fieldpath.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::apiserver {

class FieldSet {
 public:
  struct Node;

  bool empty() const { return nodes_.empty(); }
  // Sorted by element, each once; every node is a member or has children.
  const std::vector<Node>& nodes() const { return nodes_; }
  std::vector<Node>& nodes() { return nodes_; }
  const Node* Find(absl::string_view element) const;

  // In any order and without repetition; Sort() ends a row of them. What is neither member nor has
  // children is left out.
  void Append(std::string element, bool member, FieldSet children);
  void Sort();
  // Makes the field at the end of `path` a member.
  void Insert(const std::vector<std::string>& path);

  // Whether the two have a member in common.
  bool Intersects(const FieldSet& other) const;

  friend FieldSet Union(const FieldSet& a, const FieldSet& b);
  friend FieldSet Intersection(const FieldSet& a, const FieldSet& b);
  // Members of `a` that are not members of `b`: a child stays though `b` has its parent.
  friend FieldSet Difference(const FieldSet& a, const FieldSet& b);

  // Members with their path, as paths are shown (".spec.replicas"), in the order of FieldsV1.
  void ForEach(const std::function<void(const std::string& path)>& visit) const;

  json::Value ToJson() const;
  // Nullopt when it is no FieldsV1. Elements of kinds that are not known are left out. `*canonical`
  // becomes false when ToJson() will not give the same back.
  static std::optional<FieldSet> FromJson(const json::Value& fields, bool* canonical = nullptr);

 private:
  void ForEachBelow(const std::string& prefix,
                    const std::function<void(const std::string& path)>& visit) const;

  std::vector<Node> nodes_;
};

struct FieldSet::Node {
  std::string element;  // field_path.h
  bool member = false;
  FieldSet children;
};

FieldSet Union(const FieldSet& a, const FieldSet& b);
FieldSet Intersection(const FieldSet& a, const FieldSet& b);
FieldSet Difference(const FieldSet& a, const FieldSet& b);
bool operator==(const FieldSet& a, const FieldSet& b);

}  // namespace meltemi::apiserver
