// What names may look like, and Kubernetes' words for those that don't.
//
// Threads: functions without state. Each returns what is wrong, empty when
// nothing is. Source: k8s.io/apimachinery/pkg/util/validation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/names/check.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {

using Complaints = std::vector<std::string>;

// What selectors and patches need too.
using kube::CheckDns1035Label;
using kube::CheckDns1123Label;
using kube::CheckDns1123Subdomain;
using kube::CheckLabelValue;
using kube::CheckPortName;
using kube::CheckQualifiedName;
using kube::CheckWildcardDns1123Subdomain;

Complaints CheckConfigMapKey(absl::string_view text);
// The relaxed rule of 1.32: printable ASCII without "=".
Complaints CheckEnvVarName(absl::string_view text);
Complaints CheckCIdentifier(absl::string_view text);
Complaints CheckHttpHeaderName(absl::string_view text);
Complaints CheckPercent(absl::string_view text);
Complaints CheckPortNumber(int64_t port);
Complaints CheckInRange(int64_t value, int64_t least, int64_t most);
Complaints CheckUserId(int64_t id);
Complaints CheckGroupId(int64_t id);
// What can't be a segment of a path. `prefix`: something will be appended.
Complaints CheckPathSegment(absl::string_view text, bool prefix);

// The same as rules for metadata.name; a prefix may end in a dash.
Complaints NameIsDnsSubdomain(absl::string_view name, bool prefix);
Complaints NameIsDnsLabel(absl::string_view name, bool prefix);
Complaints NameIsDns1035Label(absl::string_view name, bool prefix);

// Leading zeros in IPv4 addresses are taken, as Kubernetes does.
bool IsIp(absl::string_view text);
bool IsIpv4(absl::string_view text);
bool IsIpv6(absl::string_view text);
bool IsCidr(absl::string_view text);
// Writes the 4 or 16 bytes of the address; empty when it is none.
std::string IpBytes(absl::string_view text);

// One "Invalid value" per complaint.
void AddInvalid(const kube::FieldPath& path, absl::string_view value, const Complaints& complaints,
                kube::FieldErrors& errors);
void AddInvalid(const kube::FieldPath& path, int64_t value, const Complaints& complaints,
                kube::FieldErrors& errors);
// "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)" and its like.
void ValidateIp(const kube::FieldPath& path, absl::string_view text, kube::FieldErrors& errors);
void ValidateCidr(const kube::FieldPath& path, absl::string_view text, kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
