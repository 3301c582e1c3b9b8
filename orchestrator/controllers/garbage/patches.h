// The bodies of the patches that the garbage collector sends.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::controllers {

// Strategic merge; fails when the object has another uid.
std::string DropOwnersPatch(absl::string_view uid, const std::vector<std::string>& owner_uids);
// Merge, for kinds without a strategy; fails when the object has changed since.
std::string DropOwnersMergePatch(const kube::meta::v1::ObjectMeta& latest,
                                 const std::vector<std::string>& owner_uids);
// Merge: no reference blocks the deletion of its owner any more. Fails when the object has changed
// since.
std::string UnblockPatch(const kube::meta::v1::ObjectMeta& latest);
// Merge; fails when the object has changed since. Empty: it does not have the finalizer.
std::string DropFinalizerPatch(const kube::meta::v1::ObjectMeta& latest,
                               absl::string_view finalizer);

}  // namespace meltemi::controllers
