// Where objects live in the store: "/registry/GROUP/RESOURCE/[NAMESPACE/]NAME", with "core" for the
// group without a name. Keys sort as Kubernetes' lists do.
//
// Threads: functions without state.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "kube/names/names.h"

namespace meltemi::apiserver {

inline constexpr absl::string_view kRegistryPrefix = "/registry/";

// "/registry/core/pods/default/web-0"; `ns` is empty for what is cluster-scoped. Precondition: no
// part contains a slash (names that do are refused before they get here).
std::string ObjectKey(const kube::GroupResource& storage, absl::string_view ns,
                      absl::string_view name);
// "/registry/core/pods/": all keys of a resource begin with it.
std::string ResourcePrefix(const kube::GroupResource& storage);
// "/registry/core/pods/default/".
std::string NamespacePrefix(const kube::GroupResource& storage, absl::string_view ns);

struct ParsedKey {
  kube::GroupResource storage;
  std::string ns, name;
};
// nullopt: not a key of ours.
std::optional<ParsedKey> ParseObjectKey(absl::string_view key);

}  // namespace meltemi::apiserver
