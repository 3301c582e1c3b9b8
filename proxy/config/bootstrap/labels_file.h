// The labels of a pod as Kubernetes writes them into a file (downward API).
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// One label per line: key="value", the value quoted as Go does it. Error: the line and what is
// wrong with it.
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(absl::string_view text);
absl::StatusOr<std::map<std::string, std::string>> ReadLabelsFile(const std::string& path);

}  // namespace meltemi::proxy
