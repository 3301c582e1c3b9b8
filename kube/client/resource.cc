#include "kube/client/resource.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <memory>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/options.pb.h"

namespace meltemi::kube {
namespace {

// "meltemi.kube.apps.v1.Deployment" -> "v1".
absl::string_view VersionOf(absl::string_view full_name) {
  full_name.remove_suffix(full_name.size() - full_name.rfind('.'));
  return full_name.substr(full_name.rfind('.') + 1);
}

ApiResource Read(const google::protobuf::Descriptor& kind) {
  CHECK(kind.options().HasExtension(resource));
  const ResourceRule& rule = kind.options().GetExtension(resource);
  return {.group = rule.group(),
          .version = std::string(VersionOf(kind.full_name())),
          .resource = rule.plural(),
          .kind = kind.name(),
          .namespaced = !rule.cluster_scoped()};
}

// What descriptors say, read once. Never destroyed: references to it are given away for ever.
struct Known {
  std::mutex mutex;
  std::map<const google::protobuf::Descriptor*, std::unique_ptr<const ApiResource>> resources;
};

}  // namespace

std::string ApiResource::Root() const {
  return group.empty() ? absl::StrCat("/api/", version)
                       : absl::StrCat("/apis/", group, "/", version);
}

std::string ApiResource::Path(absl::string_view ns, absl::string_view name,
                              absl::string_view subresource) const {
  std::string out = Root();
  if (namespaced && !ns.empty()) absl::StrAppend(&out, "/namespaces/", ns);
  absl::StrAppend(&out, "/", resource);
  if (!name.empty()) absl::StrAppend(&out, "/", name);
  if (!subresource.empty()) absl::StrAppend(&out, "/", subresource);
  return out;
}

const ApiResource& ResourceOf(const google::protobuf::Descriptor& kind) {
  static Known& known = *new Known;
  const std::lock_guard<std::mutex> lock(known.mutex);
  std::unique_ptr<const ApiResource>& at = known.resources[&kind];
  if (at == nullptr) at = std::make_unique<const ApiResource>(Read(kind));
  return *at;
}

}  // namespace meltemi::kube
