// The tables behind bootstrap_policy.h, in a short notation:
//
//   [NAMESPACE/]ROLE [from=X] [to=X]         from: gets the rules of all roles with to=X
//     VERB,… GROUP,… RESOURCE… [name=NAME]…  "core" is the group ""; read, write: see the parser
//     VERB,… - PATH…                         paths that are no resources
//   [NAMESPACE/]BINDING [role=ROLE] [group:G | user:U | account:NS/NAME]…
//
// An entry goes on in lines that begin with six spaces.
#pragma once

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

absl::string_view BootstrapClusterRoleTable();
absl::string_view BootstrapControllerRoleTable();
absl::string_view BootstrapNamespaceRoleTable();
absl::string_view BootstrapBindingTable();

}  // namespace meltemi::apiserver
