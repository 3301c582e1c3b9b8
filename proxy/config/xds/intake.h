// Where resources come in: unpacked, compared with what is there, compiled, put into the
// ConfigStore; and remembered as they were sent, for /config_dump.
//
// Main loop only. A resource that does not compile is rejected with its name and reason and leaves
// its last good version in place; the others of the same response are applied. A resource whose
// bytes have not changed costs one hash.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "proxy/config/xds/ads_state.h"
#include "proxy/config/xds/resource_type.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}
namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::listener::v3 {
class Listener;
}
namespace envoy::config::route::v3 {
class RouteConfiguration;
}
namespace envoy::extensions::transport_sockets::tls::v3 {
class Secret;
}
namespace envoy::service::discovery::v3 {
class DeltaDiscoveryResponse;
class Resource;
}  // namespace envoy::service::discovery::v3
namespace google::protobuf {
class Any;
template <typename T>
class RepeatedPtrField;
}  // namespace google::protobuf

namespace meltemi::proxy {

class Compiler;
class ConfigStore;
class SecretSink;

// One resource as it was sent.
struct ResourceRecord {
  std::string bytes;  // of the message itself
  uint64_t hash = 0;
  std::string version;  // of the response that brought it, or its own; "" when static
  WallTime updated{};
  bool is_static = false;
  // The last version that was refused, while it has not been replaced by a good one.
  struct Refused {
    std::string version, reason;
    WallTime at{};
  };
  std::optional<Refused> refused;
};

class Intake {
 public:
  // All outlive the intake. `secrets`: null where none come over the stream.
  Intake(Compiler& compiler, ConfigStore& store, const Clock& clock, SecretSink* secrets = nullptr);
  ~Intake();

  // The bootstrap's own secrets, clusters and listeners. A wrong one is an error of the whole
  // bootstrap.
  absl::Status AddStatic(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                         MonotonicTime now);

  // One response. Returns what was refused.
  std::vector<Rejection> Accept(
      ResourceType type, const std::string& version,
      const google::protobuf::RepeatedPtrField<google::protobuf::Any>& all, MonotonicTime now);

  // One incremental response: what is new or changed, and what is gone.
  std::vector<Rejection> AcceptDelta(
      ResourceType type, const envoy::service::discovery::v3::DeltaDiscoveryResponse& response,
      MonotonicTime now);

  // The secrets to subscribe to; those that were dropped are forgotten.
  std::set<std::string> SecretNames();
  // Endpoints or routes that are not subscribed to any more are forgotten: when they come back they
  // are new.
  void Forget(ResourceType type, const std::set<std::string>& still_wanted);

  const std::map<std::string, ResourceRecord>& records(ResourceType type) const {
    return records_[IndexOf(type)];
  }

 private:
  // What is known about the response under way.
  struct Batch {
    ResourceType type;
    std::string version;  // of the response, or of the resource at hand
    MonotonicTime now;
    std::set<std::string> present;  // every name in it, good or bad
    std::set<std::string> wanted;   // routes and secrets
    bool unreadable = false;        // a resource whose name could not be told
    std::vector<Rejection> rejections;
  };
  Batch NewBatch(ResourceType type, const std::string& version, MonotonicTime now);
  bool Wanted(const Batch& batch, const std::string& name) const;
  void AcceptOne(const google::protobuf::Any& any, Batch* batch);
  void AcceptMessage(const google::protobuf::Any& resource, const std::string& name, Batch* batch);
  void Remove(const std::string& name, Batch* batch);
  void Erase(ResourceType type, const std::string& name);
  // `called`, here and below: the name around the resource; "": none. True when `bytes` is what
  // the record of some name holds already.
  bool Unchanged(absl::string_view bytes, uint64_t hash, const std::string& called, Batch* batch);
  // True if a resource of that name is to be taken in.
  bool CheckName(const std::string& name, const std::string& called, Batch* batch);
  template <typename T>
  void AcceptAs(absl::string_view bytes, uint64_t hash, const std::string& called, Batch* batch);
  absl::Status Store(const envoy::config::cluster::v3::Cluster& cluster, bool is_static,
                     MonotonicTime now);
  absl::Status Store(const envoy::config::endpoint::v3::ClusterLoadAssignment& endpoints,
                     bool is_static, MonotonicTime now);
  absl::Status Store(const envoy::config::listener::v3::Listener& listener, bool is_static,
                     MonotonicTime now);
  absl::Status Store(const envoy::config::route::v3::RouteConfiguration& routes, bool is_static,
                     MonotonicTime now);
  absl::Status Store(const envoy::extensions::transport_sockets::tls::v3::Secret& secret,
                     const std::string& version);
  void AcceptSecret(absl::string_view bytes, const std::string& called, Batch* batch);
  void Remember(ResourceType type, const std::string& name, std::string bytes, uint64_t hash,
                const std::string& version, bool is_static);
  void Reject(Batch* batch, const std::string& name, std::string reason);
  void Retain(ResourceType type, const std::set<std::string>& names);

  Compiler& compiler_;
  ConfigStore& store_;
  const Clock& clock_;
  SecretSink* const secrets_;
  std::array<std::map<std::string, ResourceRecord>, kResourceTypes> records_;
  // The content hash of each current record -> its name.
  std::array<std::unordered_map<uint64_t, std::string>, kResourceTypes> by_hash_;
};

}  // namespace meltemi::proxy
