// Calls on objects of resources that are known by discovery alone: what all kinds share is read,
// asked for as metadata where the server can give that.
//
// Threads: functions without state; they block.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/typed.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/status/status.h"

namespace meltemi::kube {

struct ObjectHead {
  std::string ns, name, uid;
  std::vector<std::string> finalizers;
  std::vector<std::string> owner_uids;
};

// All of a namespace (empty: of all), as they are stored now.
Result<std::vector<ObjectHead>> ListHeads(Client& client, const ApiResource& resource,
                                          absl::string_view ns);

Result<meta::v1::PartialObjectMetadata> GetMetadata(Client& client, const ApiResource& resource,
                                                    absl::string_view ns, absl::string_view name);

// Of a namespace, in the background.
Outcome DeleteCollection(Client& client, const ApiResource& resource, absl::string_view ns);

Outcome PatchObject(Client& client, const ApiResource& resource, absl::string_view ns,
                    absl::string_view name, PatchType type, absl::string_view patch_json);

}  // namespace meltemi::kube
