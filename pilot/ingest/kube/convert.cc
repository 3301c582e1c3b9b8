#include "pilot/ingest/kube/convert.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "kube/client/meta.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/pod_status.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/meta/v1/meta.pb.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/ingest/kube/stored_object.pb.h"

namespace meltemi::pilot {
namespace {

using google::protobuf::Message;
using google::protobuf::RepeatedPtrField;
using ApiMeta = kube::meta::v1::ObjectMeta;

// What kubectl apply remembers in objects: as long as the object itself, and nobody reads it here.
constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";

void CopyMeta(const KindInfo& info, const ApiMeta& from, ObjectMeta* to) {
  to->kind = std::string(KindName(info.kind));
  to->name = from.name();
  to->ns = from.namespace_();
  to->labels.insert(from.labels().begin(), from.labels().end());
  for (const auto& [key, value] : from.annotations()) {
    if (key != kLastApplied) to->annotations.emplace(key, value);
  }
  to->created_s = from.creation_timestamp().seconds();
}

// --- Kubernetes' kinds: what the model reads stays ---

// Endpoints of one state and zone become one with all their addresses: of most slices that is one,
// at half of the memory.
void Trim(kube::discovery::v1::EndpointSlice* slice, ObjectMeta* meta) {
  // One of them is the time of the last change.
  meta->annotations.clear();
  std::map<std::pair<bool, std::string>, kube::discovery::v1::Endpoint*> groups;
  kube::discovery::v1::EndpointSlice kept;
  for (auto& endpoint : *slice->mutable_endpoints()) {
    const auto& conditions = endpoint.conditions();
    const bool ready = !conditions.has_ready() || conditions.ready();
    kube::discovery::v1::Endpoint*& group = groups[{ready, endpoint.zone()}];
    if (group == nullptr) {
      group = kept.add_endpoints();
      if (!ready) group->mutable_conditions()->set_ready(false);
      if (endpoint.has_zone()) group->set_zone(endpoint.zone());
    }
    for (std::string& address : *endpoint.mutable_addresses()) {
      group->add_addresses(std::move(address));
    }
  }
  slice->mutable_endpoints()->Swap(kept.mutable_endpoints());
}

void TrimContainers(const RepeatedPtrField<kube::core::v1::Container>& from,
                    RepeatedPtrField<kube::core::v1::Container>* to) {
  for (const auto& container : from) {
    auto* kept = to->Add();
    kept->set_name(container.name());
    *kept->mutable_ports() = container.ports();
  }
}

void Trim(kube::core::v1::Pod* pod, ObjectMeta* meta) {
  for (auto at = meta->annotations.begin(); at != meta->annotations.end();) {
    at = absl::StrContains(at->first, "istio.io/") ? std::next(at) : meta->annotations.erase(at);
  }
  kube::core::v1::Pod kept;
  // The controller's name, and whether it is being deleted, tell something of the workload.
  kept.mutable_metadata()->set_name(pod->metadata().name());
  if (pod->metadata().has_deletion_timestamp()) {
    *kept.mutable_metadata()->mutable_deletion_timestamp() = pod->metadata().deletion_timestamp();
  }
  for (const auto& owner : pod->metadata().owner_references()) {
    if (!owner.controller()) continue;
    auto* reference = kept.mutable_metadata()->add_owner_references();
    reference->set_kind(owner.kind());
    reference->set_name(owner.name());
    reference->set_controller(true);
  }
  auto* spec = kept.mutable_spec();
  spec->set_service_account_name(pod->spec().service_account_name());
  spec->set_node_name(pod->spec().node_name());
  spec->set_host_network(pod->spec().host_network());
  TrimContainers(pod->spec().init_containers(), spec->mutable_init_containers());
  TrimContainers(pod->spec().containers(), spec->mutable_containers());
  auto* status = kept.mutable_status();
  status->set_phase(pod->status().phase());
  status->set_pod_ip(pod->status().pod_ip());
  for (const auto& condition : pod->status().conditions()) {
    if (condition.type() != "Ready") continue;
    auto* ready = status->add_conditions();
    ready->set_type(condition.type());
    ready->set_status(condition.status());
  }
  *pod = std::move(kept);
}

// A secret that a gateway can serve a certificate or check clients with: Istio's names of keys.
bool Trim(kube::core::v1::Secret* secret, ObjectMeta* meta) {
  static const std::set<std::string>& wanted = *new std::set<std::string>{
      "tls.crt", "tls.key", "ca.crt", "ca.crl", "cert", "key", "cacert", "crl", "tls.ocsp-staple"};
  meta->annotations.clear();
  auto* data = secret->mutable_data();
  for (auto at = data->begin(); at != data->end();) {
    at = wanted.count(at->first) > 0 ? std::next(at) : data->erase(at);
  }
  const auto has = [data](const char* key) { return data->contains(key); };
  return (has("tls.crt") && has("tls.key")) || (has("cert") && has("key")) || has("ca.crt") ||
         has("cacert");
}

// False: pilot has no use for the object.
bool TrimMessage(Kind kind, Message* message, ObjectMeta* meta) {
  if (kind == Kind::kPod) {
    Trim(static_cast<kube::core::v1::Pod*>(message), meta);
    return true;  // it keeps some metadata
  }
  bool wanted = true;
  if (kind == Kind::kEndpointSlice) {
    Trim(static_cast<kube::discovery::v1::EndpointSlice*>(message), meta);
  } else if (kind == Kind::kSecret) {
    wanted = Trim(static_cast<kube::core::v1::Secret*>(message), meta);
  } else if (kind == Kind::kService) {
    static_cast<kube::core::v1::Service*>(message)->clear_status();
  } else if (kind == Kind::kNamespace) {
    static_cast<kube::core::v1::Namespace*>(message)->Clear();
  }
  kube::MutableMetaOf(*message).Clear();
  return wanted;
}

// --- Istio's kinds ---

json::Value TextTree(const google::protobuf::Map<std::string, std::string>& map) {
  json::Value out = json::Value::Object();
  for (const auto& [key, value] : map) {
    if (key != kLastApplied) out.Add(key, json::Value::String(value));
  }
  return out;
}

// The object as a manifest would say it.
absl::StatusOr<json::Value> ManifestTree(const kube::ApiResource& resource,
                                         const StoredObject& stored) {
  json::Value tree = json::Value::Object();
  tree.Add("apiVersion", json::Value::String(absl::StrCat(resource.group, "/", resource.version)));
  tree.Add("kind", json::Value::String(resource.kind));
  json::Value& meta = tree.Add("metadata", json::Value::Object());
  meta.Add("name", json::Value::String(stored.metadata().name()));
  meta.Add("namespace", json::Value::String(stored.metadata().namespace_()));
  meta.Add("labels", TextTree(stored.metadata().labels()));
  meta.Add("annotations", TextTree(stored.metadata().annotations()));
  if (!stored.spec().raw().empty()) {
    absl::StatusOr<json::Value> spec = json::Parse(stored.spec().raw());
    if (!spec.ok()) return spec.status();
    tree.Add("spec", *std::move(spec));
  }
  return tree;
}

std::string JoinedErrors(const std::vector<Diagnostic>& diagnostics) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity != Severity::kError) continue;
    absl::StrAppend(&out, out.empty() ? "" : "; ", diagnostic.path,
                    diagnostic.path.empty() ? "" : ": ", diagnostic.message);
  }
  return out;
}

std::vector<Diagnostic> SpecErrors(const ObjectKey& key, absl::string_view message) {
  return {{.code = "IST0106",
           .object = key.ToString(),
           .path = "spec",
           .message = std::string(message)}};
}

void DecodeStored(const KindInfo& info, const kube::ApiResource& resource,
                  const StoredObject& stored, std::shared_ptr<Object>* object, Arrival* arrival) {
  absl::StatusOr<json::Value> tree = ManifestTree(resource, stored);
  if (!tree.ok()) {
    arrival->diagnostics = SpecErrors(arrival->key, tree.status().message());
    return;
  }
  Manifests decoded = DecodeObject(*std::move(tree));
  arrival->diagnostics = std::move(decoded.diagnostics);
  for (Diagnostic& diagnostic : arrival->diagnostics) diagnostic.line = 0;
  if (decoded.objects.empty()) return;
  *object = std::make_shared<Object>(*decoded.objects.front());
  (*object)->line = 0;
  (*object)->meta.kind = std::string(KindName(info.kind));
  (*object)->meta.created_s = stored.metadata().creation_timestamp().seconds();
  (*object)->meta.generation = stored.metadata().generation();
}

uint64_t FingerprintOf(const Object& object) {
  std::string bytes = absl::StrCat(object.meta.created_s, " ", object.meta.generation);
  for (const auto* map : {&object.meta.labels, &object.meta.annotations}) {
    for (const auto& [key, value] : *map) absl::StrAppend(&bytes, "\n", key, "\n", value);
    bytes.push_back('\0');
  }
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    object.spec->SerializePartialToCodedStream(&coded);
  }
  return XxHash64(bytes);
}

Arrival WithKey(const KindInfo& info, const ApiMeta& meta) {
  Arrival arrival;
  arrival.key = {.kind = info.kind, .ns = meta.namespace_(), .name = meta.name()};
  return arrival;
}

}  // namespace

const Message& PrototypeOf(const KindInfo& info) {
  if (info.message_is_spec) return StoredObject::default_instance();
  const std::unique_ptr<Message> spec = NewSpec(info.kind);
  return *spec->GetReflection()->GetMessageFactory()->GetPrototype(spec->GetDescriptor());
}

absl::string_view FieldSelectorOf(Kind kind) {
  if (kind == Kind::kPod) return "status.phase!=Succeeded,status.phase!=Failed";
  if (kind == Kind::kSecret) {
    return "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,"
           "type!=kubernetes.io/dockerconfigjson,type!=kubernetes.io/dockercfg,"
           "type!=bootstrap.kubernetes.io/token";
  }
  return "";
}

Arrival Convert(const KindInfo& info, const kube::ApiResource& resource,
                std::unique_ptr<Message> message, const KubeValidator& validator) {
  const ApiMeta meta = kube::MetaOf(*message);
  Arrival arrival = WithKey(info, meta);
  std::shared_ptr<Object> object;
  if (info.message_is_spec) {
    DecodeStored(info, resource, static_cast<const StoredObject&>(*message), &object, &arrival);
  } else {
    object = std::make_shared<Object>();
    object->kind = info.kind;
    CopyMeta(info, meta, &object->meta);
    if (!TrimMessage(info.kind, message.get(), &object->meta)) {
      arrival.gone = true;
      return arrival;
    }
    object->spec = std::shared_ptr<const Message>(std::move(message));
  }
  if (object != nullptr) {
    object->api_version =
        absl::StrCat(resource.group, resource.group.empty() ? "" : "/", resource.version);
    const std::vector<Diagnostic> found =
        validator ? validator(*object) : std::vector<Diagnostic>();
    arrival.diagnostics.insert(arrival.diagnostics.end(), found.begin(), found.end());
    if (!HasErrors(found)) {
      arrival.fingerprint = FingerprintOf(*object);
      arrival.object = std::move(object);
    }
  }
  if (info.message_is_spec) {
    const auto& stored = static_cast<const StoredObject&>(*message);
    arrival.live = std::make_shared<const LiveObject>(
        LiveObject{.resource = resource,
                   .uid = meta.uid(),
                   .resource_version = meta.resource_version(),
                   .generation = meta.generation(),
                   .status_json = stored.status().raw(),
                   .rejected = JoinedErrors(arrival.diagnostics)});
  }
  return arrival;
}

Arrival Gone(const KindInfo& info, const Message& message) {
  Arrival arrival = WithKey(info, kube::MetaOf(message));
  arrival.gone = true;
  return arrival;
}

}  // namespace meltemi::pilot
