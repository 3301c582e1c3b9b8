// Authorization: a chain, of which the first that has an opinion decides.
//
// Threads: thread-safe; reads indexes that follow the watch cache, never blocks on IO.
#pragma once

#include <string>

#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

struct Attributes {
  UserInfo user;
  bool is_resource = true;
  std::string verb, path;
  std::string group, version, resource, subresource, ns, name;
  // Of list, watch and deletecollection; empty when it can't be read.
  kube::FieldSelector field_selector;

  static Attributes Of(const Request& request);
};

enum class Decision : uint8_t { kAllow, kDeny, kNoOpinion };

struct Verdict {
  Decision decision = Decision::kNoOpinion;
  std::string reason;
};

class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual Verdict Authorize(const Attributes& attributes) = 0;
};

// `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"`.
kube::Status ForbiddenFor(const Attributes& attributes, absl::string_view reason);

}  // namespace meltemi::apiserver
