// Kubernetes' JSONPath: what printer columns and `kubectl -o jsonpath` use ("{.spec.replicas}",
// `.status.conditions[?(@.type=="Ready")].status`, "..", "[*]", slices, unions).
//
// Threads: immutable once compiled. Source: k8s.io/client-go/util/jsonpath.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::kube {

class JsonPath {
 public:
  struct Node;

  // `path` with or without the braces, one expression. Error: what is wrong and where.
  static absl::StatusOr<JsonPath> Compile(absl::string_view path);

  // Pointers into `root` in document order; missing members give nothing.
  std::vector<const json::Value*> Find(const json::Value& root) const;

 private:
  std::shared_ptr<const std::vector<Node>> nodes_;
};

}  // namespace meltemi::kube
