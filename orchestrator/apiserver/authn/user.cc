#include "orchestrator/apiserver/authn/user.h"

#include <algorithm>

namespace meltemi::apiserver {

bool UserInfo::InGroup(absl::string_view group) const {
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace meltemi::apiserver
