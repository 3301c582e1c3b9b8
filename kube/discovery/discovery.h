// Which resources an API server has, custom ones too: asked for in the aggregated form (two calls),
// or group by group where a server does not know that.
//
// Threads: Discover blocks; the rest are plain value types.
// Source: k8s.io/api/apidiscovery/v2, metav1.APIResourceList; client-go's discovery (what is
// preferred, what a failed group means).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/resource.h"
#include "kube/status/status.h"

namespace meltemi::kube {

class Client;

struct ServedResource {
  ApiResource resource;
  std::vector<std::string> verbs;
  std::vector<std::string> subresources;  // "scale"
  // The version that clients should use, of those of its group that have the resource.
  bool preferred = false;

  bool Can(absl::string_view verb) const;
  bool Has(absl::string_view subresource) const;
};

struct ServedResources {
  std::vector<ServedResource> resources;  // in the server's order
  // Groups with versions about which nothing is known now ("metrics.k8s.io/v1beta1"), and why.
  std::map<std::string, std::string> failures;

  // Null: there is none. `api_version`: "apps/v1".
  const ServedResource* FindKind(absl::string_view api_version, absl::string_view kind) const;
  // "Discovery failed for some groups, …" in the words of namespaces' conditions; empty when none
  // has.
  std::string FailureText() const;
};

// Error: neither /api nor /apis could be read.
Result<ServedResources> Discover(Client& client);

}  // namespace meltemi::kube
