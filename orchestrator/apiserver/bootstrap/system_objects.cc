#include "orchestrator/apiserver/bootstrap/system_objects.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "kube/status/status.h"

namespace meltemi::apiserver {
namespace {

struct Wanted {
  kube::GroupResource resource;
  std::string ns, name, json;
  bool correct = false;  // replaced when it differs, beside being created when missing
};

std::string NamespaceJson(absl::string_view name) {
  return absl::StrCat(R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")", name,
                      R"("}})");
}

std::string PriorityClassJson(absl::string_view name, int64_t value, absl::string_view what) {
  return absl::StrCat(
      R"({"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":")", name,
      R"("},"value":)", value, R"(,"description":")", what, R"("})");
}

// A volume is made where its first pod is, because it can't follow the pod.
constexpr char kStorageClassJson[] =
    R"({"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"local-path",)"
    R"("annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},)"
    R"("provisioner":"meltemi.dev/local-path","reclaimPolicy":"Delete",)"
    R"("volumeBindingMode":"WaitForFirstConsumer"})";

std::vector<Wanted> AllWanted(const SystemObjectsOptions& o) {
  std::vector<Wanted> all;
  for (const char* name : {"kube-system", "default", "kube-public", "kube-node-lease"}) {
    all.push_back({{"", "namespaces"}, "", name, NamespaceJson(name)});
  }
  all.push_back({{"scheduling.k8s.io", "priorityclasses"},
                 "",
                 "system-cluster-critical",
                 PriorityClassJson("system-cluster-critical", 2000000000,
                                   "For pods that the cluster needs, on whichever node they run")});
  all.push_back({{"scheduling.k8s.io", "priorityclasses"},
                 "",
                 "system-node-critical",
                 PriorityClassJson("system-node-critical", 2000001000,
                                   "For pods that a node needs and that can run nowhere else")});
  if (o.storage_class) {
    all.push_back({{"storage.k8s.io", "storageclasses"}, "", "local-path", kStorageClassJson});
  }
  const absl::string_view labels = R"("labels":{"component":"apiserver","provider":"kubernetes"})";
  all.push_back(
      {{"", "services"},
       "default",
       "kubernetes",
       absl::StrCat(R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"kubernetes",)",
                    labels, R"(},"spec":{"clusterIP":")", o.service_ip,
                    R"(","ports":[{"name":"https","port":443,"protocol":"TCP","targetPort":)",
                    o.port, "}]}}")});
  all.push_back(
      {{"", "endpoints"},
       "default",
       "kubernetes",
       absl::StrCat(
           R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"kubernetes","labels":)",
           R"({"endpointslice.kubernetes.io/skip-mirror":"true"}},)"
           R"("subsets":[{"addresses":[{"ip":")",
           o.advertise_address, R"("}],"ports":[{"name":"https","port":)", o.port,
           R"(,"protocol":"TCP"}]}]})"),
       true});
  all.push_back(
      {{"discovery.k8s.io", "endpointslices"},
       "default",
       "kubernetes",
       absl::StrCat(
           R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":)",
           R"({"name":"kubernetes","labels":{"kubernetes.io/service-name":"kubernetes"}},)",
           R"("addressType":"IPv4","endpoints":[{"addresses":[")", o.advertise_address,
           R"("],"conditions":{"ready":true}}],"ports":[{"name":"https","port":)", o.port,
           R"(,"protocol":"TCP"}]})"),
       true});
  return all;
}

// Members of `wanted` beside metadata replace those of `current`.
json::Value Corrected(const json::Value& current, const json::Value& wanted) {
  json::Value out = current;
  for (const json::Member& member : wanted.members()) {
    if (member.key != "metadata") out.Set(member.key, member.value);
  }
  return out;
}

WriteContext SystemContext(const Clock& clock) {
  WriteContext context;
  context.user.name = "system:apiserver";
  context.user.groups = {"system:masters", "system:authenticated"};
  context.field_manager = "meltemi-apiserver";
  context.deadline = clock.Now() + seconds(30);
  return context;
}

absl::Status Failed(const Wanted& wanted, const kube::Status& status) {
  return absl::UnavailableError(absl::StrCat("cannot make ", wanted.resource.ToString(), " \"",
                                             wanted.name, "\": ", status.message));
}

absl::Status Ensure(const Wanted& wanted, const Catalog& catalog, Objects& objects,
                    const Clock& clock) {
  const Resource* resource = catalog.FindPreferred(wanted.resource);
  if (resource == nullptr) {
    return absl::InternalError(absl::StrCat("no resource ", wanted.resource.ToString()));
  }
  absl::StatusOr<json::Value> object = json::Parse(wanted.json);
  if (!object.ok()) return object.status();
  WriteContext context = SystemContext(clock);
  const kube::Result<json::Value> current = objects.Get(*resource, wanted.ns, wanted.name);
  if (!current.ok() && current.status().code != 404) return Failed(wanted, current.status());
  if (!current.ok()) {
    const kube::Result<Written> made =
        objects.Create(*resource, wanted.ns, *std::move(object), context);
    // Another API server may have been faster.
    if (!made.ok() && made.status().code != 409) return Failed(wanted, made.status());
    return absl::OkStatus();
  }
  if (!wanted.correct) return absl::OkStatus();
  const kube::Result<Written> written = objects.Update(
      *resource, wanted.ns, wanted.name,
      [&object](const json::Value& now, bool) -> kube::Result<json::Value> {
        return Corrected(now, *object);
      },
      /*allow_create=*/true, context);
  return written.ok() ? absl::OkStatus() : Failed(wanted, written.status());
}

}  // namespace

absl::Status EnsureSystemObjects(const SystemObjectsOptions& options, const CatalogSource& catalogs,
                                 Objects& objects, const Clock& clock) {
  const std::shared_ptr<const Catalog> catalog = catalogs.current();
  for (const Wanted& wanted : AllWanted(options)) {
    if (absl::Status status = Ensure(wanted, *catalog, objects, clock); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace meltemi::apiserver
