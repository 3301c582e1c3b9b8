#include "kube/names/names.h"

namespace meltemi::kube {

GroupVersionKind GroupVersionKind::Of(absl::string_view api_version, absl::string_view kind) {
  size_t slash = api_version.find('/');
  if (slash == absl::string_view::npos) {
    return {"", std::string(api_version), std::string(kind)};
  }
  return {std::string(api_version.substr(0, slash)), std::string(api_version.substr(slash + 1)),
          std::string(kind)};
}

}  // namespace meltemi::kube
