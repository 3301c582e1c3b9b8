// The built-in resources: how each is served comes from the schema's options (api/kube), what is
// particular about it from the KindTable.
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/certificates.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/kind_table.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/schema/from_proto.h"

namespace meltemi::apiserver {
namespace {

// Lives as long as any resource in it is held.
struct Builtins {
  KindTable kinds;
  std::deque<Resource> resources;
};

void AddGroups(KindTable& table) {
  AddCore(table);
  AddApps(table);
  AddBatch(table);
  AddAutoscaling(table);
  AddNetworking(table);
  AddDiscovery(table);
  AddPolicy(table);
  AddStorage(table);
  AddCertificates(table);
  AddRbac(table);
  AddCoordination(table);
  AddScheduling(table);
  AddRuntimeClasses(table);
  AddAdmissionRegistration(table);
  AddEvents(table);
  AddMetrics(table);
}

Resource ResourceOf(const ResourceOption& option, const KindTable& kinds) {
  Resource resource;
  resource.group = option.group;
  resource.version = option.version;
  resource.plural = option.plural;
  resource.singular = option.singular;
  resource.kind = option.kind;
  resource.namespaced = option.namespaced;
  resource.short_names = option.short_names;
  resource.categories = option.categories;
  resource.verbs = option.verbs;
  resource.status_subresource = option.status;
  if (!option.scale_spec_path.empty()) {
    resource.scale = ScaleSubresource{.spec_replicas_path = option.scale_spec_path,
                                      .status_replicas_path = option.scale_status_path,
                                      .label_selector_path = option.scale_selector_path};
  }
  for (const std::string& subresource : option.other_subresources) {
    // Resizing pods in place is an alpha feature of 1.32, and off.
    if (subresource != "resize") resource.other_subresources.push_back(subresource);
  }
  resource.schema = option.schema;
  resource.stored = option.stored;
  resource.strategy = kinds.StrategyOf(option.group, option.version, option.plural);
  resource.columns = kinds.ColumnsOf(option.group, option.version, option.plural);
  const StorageForm* form = kinds.StorageOf(option.group, option.version, option.plural);
  if (form == nullptr) {
    resource.storage = {option.group, option.plural};
    resource.storage_version = resource.api_version();
    resource.storage_kind = option.kind;
  } else {
    resource.storage = form->storage;
    resource.storage_version = form->version;
    resource.storage_kind = form->kind;
    resource.to_storage = form->to_storage;
    resource.from_storage = form->from_storage;
  }
  return resource;
}

}  // namespace

std::vector<std::shared_ptr<const Resource>> BuiltinResources(SchemaArena& arena) {
  const KubeSchemas schemas(arena);
  const auto builtins = std::make_shared<Builtins>();
  AddGroups(builtins->kinds);
  std::vector<std::shared_ptr<const Resource>> resources;
  for (const ResourceOption& option : schemas.resources()) {
    const Resource& resource =
        builtins->resources.emplace_back(ResourceOf(option, builtins->kinds));
    resources.emplace_back(builtins, &resource);
  }
  return resources;
}

}  // namespace meltemi::apiserver
