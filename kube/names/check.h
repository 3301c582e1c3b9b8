// What Kubernetes allows as names and labels, and what it says when something is not allowed. Each
// function returns the texts of what is wrong, in Kubernetes' order and words; empty when all is
// well.
//
// Threads: functions without state. Source: k8s.io/apimachinery/pkg/util/validation.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::kube {

// Keys of labels, annotations, taints, finalizers: "[prefix/]name".
std::vector<std::string> CheckQualifiedName(absl::string_view text);
std::vector<std::string> CheckLabelValue(absl::string_view text);
std::vector<std::string> CheckDns1123Label(absl::string_view text);
std::vector<std::string> CheckDns1123Subdomain(absl::string_view text);
// "*.example.com".
std::vector<std::string> CheckWildcardDns1123Subdomain(absl::string_view text);
std::vector<std::string> CheckDns1035Label(absl::string_view text);
// Names of container and service ports (IANA_SVC_NAME).
std::vector<std::string> CheckPortName(absl::string_view text);
// Names of RBAC objects and the like: whatever can be one segment of a URL path.
std::vector<std::string> CheckPathSegmentName(absl::string_view text, bool prefix);
// Keys of ConfigMaps and Secrets.
std::vector<std::string> CheckConfigKey(absl::string_view text);
std::vector<std::string> CheckEnvironmentName(absl::string_view text);

// "must be no more than 63 characters"
std::string MaxLengthText(size_t characters_max);
// `WHAT (e.g. 'a',  or 'b', regex used for validation is 'REGEX')`
std::string RegexText(absl::string_view what, absl::string_view regex,
                      const std::vector<absl::string_view>& examples);

}  // namespace meltemi::kube
