#include "proxy/config/xds/intake.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/protobuf/arena.h"
#include "proxy/config/store/config_store.h"
#include "proxy/config/xds/compiler.h"
#include "proxy/config/xds/secret_sink.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {
namespace {

namespace cluster_v3 = envoy::config::cluster::v3;
namespace discovery_v3 = envoy::service::discovery::v3;
namespace endpoint_v3 = envoy::config::endpoint::v3;
namespace listener_v3 = envoy::config::listener::v3;
namespace route_v3 = envoy::config::route::v3;
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;

constexpr char kWrapper[] = "type.googleapis.com/envoy.service.discovery.v3.Resource";

template <typename T>
const std::string& NameOf(const T& message) {
  return message.name();
}
template <>
const std::string& NameOf(const endpoint_v3::ClusterLoadAssignment& message) {
  return message.cluster_name();
}

std::shared_ptr<const EndpointsConfig> NoEndpoints(const std::string& name) {
  auto none = std::make_shared<EndpointsConfig>();
  none->cluster_name = name;
  return none;
}

// Envoy names listeners without a name itself; the address tells a reader more.
std::string AddressName(const listener_v3::Listener& listener) {
  const auto& address = listener.address();
  if (address.has_pipe()) return absl::StrCat("unix:", address.pipe().path());
  return absl::StrCat(address.socket_address().address(), ":",
                      address.socket_address().port_value());
}

}  // namespace

Intake::Intake(Compiler& compiler, ConfigStore& store, const Clock& clock, SecretSink* secrets)
    : compiler_(compiler), store_(store), clock_(clock), secrets_(secrets) {}

Intake::~Intake() = default;

// ---- Compiling
// -----------------------------------------------------------------------------------

absl::Status Intake::Store(const cluster_v3::Cluster& cluster, bool is_static, MonotonicTime now) {
  if (!is_static && store_.IsStaticCluster(cluster.name())) {
    return absl::InvalidArgumentError("the bootstrap defines it: it can't be replaced");
  }
  absl::StatusOr<ClusterResource> compiled = compiler_.Compile(cluster);
  if (!compiled.ok()) return compiled.status();
  store_.SetCluster(std::move(compiled->config), std::move(compiled->inline_endpoints), is_static,
                    now);
  return absl::OkStatus();
}

absl::Status Intake::Store(const endpoint_v3::ClusterLoadAssignment& endpoints, bool is_static,
                           MonotonicTime now) {
  absl::StatusOr<std::shared_ptr<const EndpointsConfig>> compiled = compiler_.Compile(endpoints);
  if (!compiled.ok()) return compiled.status();
  store_.SetEndpoints(endpoints.cluster_name(), *std::move(compiled));
  return absl::OkStatus();
}

absl::Status Intake::Store(const listener_v3::Listener& listener, bool is_static,
                           MonotonicTime now) {
  if (!is_static && store_.IsStaticListener(listener.name())) {
    return absl::InvalidArgumentError("the bootstrap defines it: it can't be replaced");
  }
  absl::StatusOr<std::shared_ptr<const ListenerConfig>> compiled = compiler_.Compile(listener);
  if (!compiled.ok()) return compiled.status();
  store_.SetListener(*std::move(compiled), is_static, now);
  return absl::OkStatus();
}

absl::Status Intake::Store(const route_v3::RouteConfiguration& routes, bool is_static,
                           MonotonicTime now) {
  absl::StatusOr<std::shared_ptr<const RouteTable>> compiled = compiler_.Compile(routes);
  if (!compiled.ok()) return compiled.status();
  store_.SetRoutes(routes.name(), *std::move(compiled), now);
  return absl::OkStatus();
}

// ---- Static resources
// ------------------------------------------------------------------------------

absl::Status Intake::AddStatic(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                               MonotonicTime now) {
  std::set<std::string> secrets;
  for (const tls_v3::Secret& secret : bootstrap.static_resources().secrets()) {
    if (!secrets.insert(secret.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("static secret '", secret.name(), "' is there twice"));
    }
    if (secrets_ == nullptr) {
      return absl::InvalidArgumentError("static_resources.secrets is not supported here");
    }
    if (absl::Status status = secrets_->SetStatic(secret); !status.ok()) return status;
  }
  for (const cluster_v3::Cluster& cluster : bootstrap.static_resources().clusters()) {
    const std::string& name = cluster.name();
    if (name.empty()) return absl::InvalidArgumentError("a static cluster has no name");
    if (store_.IsStaticCluster(name)) {
      return absl::InvalidArgumentError(absl::StrCat("static cluster '", name, "' is there twice"));
    }
    if (absl::Status status = Store(cluster, /*is_static=*/true, now); !status.ok()) return status;
    Remember(ResourceType::kCluster, name, cluster.SerializeAsString(), 0, "", true);
  }
  for (listener_v3::Listener listener : bootstrap.static_resources().listeners()) {
    if (listener.name().empty()) listener.set_name(AddressName(listener));
    if (store_.IsStaticListener(listener.name())) {
      return absl::InvalidArgumentError(
          absl::StrCat("static listener '", listener.name(), "' is there twice"));
    }
    if (absl::Status status = Store(listener, /*is_static=*/true, now); !status.ok()) return status;
    Remember(ResourceType::kListener, listener.name(), listener.SerializeAsString(), 0, "", true);
  }
  return absl::OkStatus();
}

// ---- Responses
// -------------------------------------------------------------------------------------

Intake::Batch Intake::NewBatch(ResourceType type, const std::string& version, MonotonicTime now) {
  Batch batch{.type = type,
              .version = version,
              .now = now,
              .present = {},
              .wanted = {},
              .unreadable = false,
              .rejections = {}};
  if (type == ResourceType::kRoutes) batch.wanted = store_.RouteNames();
  if (type == ResourceType::kSecrets) batch.wanted = SecretNames();
  return batch;
}

bool Intake::Wanted(const Batch& batch, const std::string& name) const {
  if (IsWildcard(batch.type)) return true;
  if (batch.type == ResourceType::kEndpoints) return store_.WantsEndpoints(name);
  return batch.wanted.contains(name);
}

std::vector<Rejection> Intake::Accept(
    ResourceType type, const std::string& version,
    const google::protobuf::RepeatedPtrField<google::protobuf::Any>& all, MonotonicTime now) {
  Batch batch = NewBatch(type, version, now);
  for (const google::protobuf::Any& any : all) AcceptOne(any, &batch);
  // Nothing is removed on the word of a response that could not be read in full.
  if (IsWildcard(type) && !batch.unreadable) {
    if (type == ResourceType::kCluster) store_.RetainClusters(batch.present);
    if (type == ResourceType::kListener) store_.RetainListeners(batch.present);
    Retain(type, batch.present);
  }
  return std::move(batch.rejections);
}

std::vector<Rejection> Intake::AcceptDelta(ResourceType type,
                                           const discovery_v3::DeltaDiscoveryResponse& response,
                                           MonotonicTime now) {
  Batch batch = NewBatch(type, "", now);
  for (const discovery_v3::Resource& resource : response.resources()) {
    batch.version = resource.version();
    // A sign of life: what is there stays.
    if (!resource.has_resource() && records(type).contains(resource.name())) continue;
    AcceptMessage(resource.resource(), resource.name(), &batch);
  }
  for (const std::string& name : response.removed_resources()) {
    if (batch.present.contains(name)) {
      Reject(&batch, name, "is there and taken away in one response");
    } else {
      Remove(name, &batch);
    }
  }
  return std::move(batch.rejections);
}

void Intake::AcceptOne(const google::protobuf::Any& any, Batch* batch) {
  if (any.type_url() != kWrapper) return AcceptMessage(any, "", batch);
  discovery_v3::Resource wrapper;
  if (!wrapper.ParseFromString(any.value())) {
    batch->unreadable = true;
    return Reject(batch, "", "the Resource around it can't be decoded");
  }
  AcceptMessage(wrapper.resource(), wrapper.name(), batch);
}

void Intake::AcceptMessage(const google::protobuf::Any& resource, const std::string& name,
                           Batch* batch) {
  if (resource.type_url() != TypeUrl(batch->type)) {
    batch->unreadable = true;
    return Reject(
        batch, name,
        absl::StrCat("expected type ", TypeUrl(batch->type), ", got ", resource.type_url()));
  }
  const absl::string_view bytes = resource.value();
  if (batch->type == ResourceType::kSecrets) return AcceptSecret(bytes, name, batch);
  const uint64_t hash = XxHash64(bytes);
  if (Unchanged(bytes, hash, name, batch)) return;
  switch (batch->type) {
    case ResourceType::kCluster:
      return AcceptAs<cluster_v3::Cluster>(bytes, hash, name, batch);
    case ResourceType::kEndpoints:
      return AcceptAs<endpoint_v3::ClusterLoadAssignment>(bytes, hash, name, batch);
    case ResourceType::kListener:
      return AcceptAs<listener_v3::Listener>(bytes, hash, name, batch);
    case ResourceType::kRoutes:
      return AcceptAs<route_v3::RouteConfiguration>(bytes, hash, name, batch);
    case ResourceType::kSecrets:
      break;  // above
  }
}

void Intake::Remove(const std::string& name, Batch* batch) {
  switch (batch->type) {
    case ResourceType::kCluster:
      store_.RemoveCluster(name);
      break;
    case ResourceType::kListener:
      store_.RemoveListener(name);
      break;
    case ResourceType::kEndpoints:
      // What serves keeps the endpoints that it has; what waits for its first goes on without.
      if (store_.WantsEndpoints(name) && !store_.HasEndpoints(name)) {
        store_.SetEndpoints(name, NoEndpoints(name));
      }
      return;
    case ResourceType::kRoutes:
    case ResourceType::kSecrets:
      return;  // they end with what uses them
  }
  Erase(batch->type, name);
}

bool Intake::Unchanged(absl::string_view bytes, uint64_t hash, const std::string& called,
                       Batch* batch) {
  const auto& names = by_hash_[IndexOf(batch->type)];
  auto name = names.find(hash);
  if (name == names.end() || (!called.empty() && called != name->second)) return false;
  auto record = records_[IndexOf(batch->type)].find(name->second);
  if (record == records_[IndexOf(batch->type)].end() || record->second.bytes != bytes) return false;
  if (!Wanted(*batch, name->second)) return true;
  // Twice in one response: the slow road says so.
  if (!batch->present.insert(name->second).second) return false;
  record->second.version = batch->version;
  record->second.refused.reset();
  return true;
}

bool Intake::CheckName(const std::string& name, const std::string& called, Batch* batch) {
  if (name.empty()) {
    Reject(batch, "", "has no name");
  } else if (!called.empty() && called != name) {
    // It could never be taken away again.
    Reject(batch, "", absl::StrCat("'", name, "' comes under the name '", called, "'"));
  } else if (Wanted(*batch, name)) {
    if (batch->present.insert(name).second) return true;
    Reject(batch, name, "is there twice");
  }
  return false;
}

template <typename T>
void Intake::AcceptAs(absl::string_view bytes, uint64_t hash, const std::string& called,
                      Batch* batch) {
  google::protobuf::Arena arena;
  T& message = *google::protobuf::Arena::CreateMessage<T>(&arena);
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    batch->unreadable = true;
    return Reject(batch, "", "can't be decoded");
  }
  const std::string& name = NameOf(message);
  if (!CheckName(name, called, batch)) return;
  if (absl::Status status = Store(message, /*is_static=*/false, batch->now); !status.ok()) {
    return Reject(batch, name, std::string(status.message()));
  }
  Remember(batch->type, name, std::string(bytes), hash, batch->version, /*is_static=*/false);
}

// Unlike the others, no copy is kept: what is secret lies in one place.
void Intake::AcceptSecret(absl::string_view bytes, const std::string& called, Batch* batch) {
  tls_v3::Secret secret;
  if (!secret.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    batch->unreadable = true;
    return Reject(batch, "", "can't be decoded");
  }
  const std::string& name = secret.name();
  if (!CheckName(name, called, batch)) return;
  if (absl::Status status = Store(secret, batch->version); !status.ok()) {
    return Reject(batch, name, std::string(status.message()));
  }
  records_[IndexOf(batch->type)].erase(name);
}

absl::Status Intake::Store(const tls_v3::Secret& secret, const std::string& version) {
  if (secrets_ == nullptr) return absl::InvalidArgumentError("secrets are not supported here");
  return secrets_->Set(secret, version);
}

std::set<std::string> Intake::SecretNames() {
  return secrets_ == nullptr ? std::set<std::string>() : secrets_->WantedNames();
}

void Intake::Reject(Batch* batch, const std::string& name, std::string reason) {
  LOG(kWarn, "xds", ShortName(batch->type), " ", batch->version, ": ",
      name.empty() ? "(unnamed)" : name, " rejected: ", reason);
  if (!name.empty()) {
    ResourceRecord& record = records_[IndexOf(batch->type)][name];
    if (!record.is_static) {
      record.refused = ResourceRecord::Refused{batch->version, reason, clock_.WallNow()};
    }
  }
  batch->rejections.push_back({name, std::move(reason)});
}

void Intake::Remember(ResourceType type, const std::string& name, std::string bytes, uint64_t hash,
                      const std::string& version, bool is_static) {
  ResourceRecord& record = records_[IndexOf(type)][name];
  auto& names = by_hash_[IndexOf(type)];
  if (auto old = names.find(record.hash); old != names.end() && old->second == name) {
    names.erase(old);
  }
  record.bytes = std::move(bytes);
  record.bytes.shrink_to_fit();
  record.hash = hash;
  record.version = version;
  record.updated = clock_.WallNow();
  record.is_static = is_static;
  record.refused.reset();
  if (!is_static) names[hash] = name;
}

void Intake::Retain(ResourceType type, const std::set<std::string>& names) {
  auto& records = records_[IndexOf(type)];
  for (auto it = records.begin(); it != records.end();) {
    const auto next = std::next(it);
    if (!names.contains(it->first)) Erase(type, it->first);
    it = next;
  }
}

void Intake::Erase(ResourceType type, const std::string& name) {
  auto& records = records_[IndexOf(type)];
  const auto it = records.find(name);
  if (it == records.end() || it->second.is_static) return;
  auto& hashes = by_hash_[IndexOf(type)];
  if (auto old = hashes.find(it->second.hash); old != hashes.end() && old->second == name) {
    hashes.erase(old);
  }
  records.erase(it);
}

void Intake::Forget(ResourceType type, const std::set<std::string>& still_wanted) {
  Retain(type, still_wanted);
}

}  // namespace meltemi::proxy
