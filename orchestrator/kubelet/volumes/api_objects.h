// What volumes read from the API server: config maps, secrets, tokens and the node. Read when they
// are needed, not watched: a node's pods mention few of the cluster's objects. What several volumes
// share is read once per round.
//
// Threads: thread-safe; blocks on API calls.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/status/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube::core::v1 {
class ConfigMap;
class Node;
class Pod;
class Secret;
class ServiceAccountTokenProjection;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

// An absl::Status of what the API server said: NotFound, Unavailable (worth another try as it is),
// or Unknown.
absl::Status FromApi(const kube::Status& status);

class ApiObjects {
 public:
  // Both outlive it.
  ApiObjects(kube::Client& client, const Clock& clock) : client_(client), clock_(clock) {}

  // `age_max`: an answer of the last so many seconds is good enough. Error of what is not there:
  // `configmap "x" not found`, as the kubelet says it.
  absl::StatusOr<std::shared_ptr<const kube::core::v1::ConfigMap>> GetConfigMap(
      const std::string& ns, const std::string& name, Duration age_max);
  absl::StatusOr<std::shared_ptr<const kube::core::v1::Secret>> GetSecret(const std::string& ns,
                                                                          const std::string& name,
                                                                          Duration age_max);
  absl::StatusOr<std::shared_ptr<const kube::core::v1::Node>> GetNode(const std::string& name,
                                                                      Duration age_max);

  // A token of the pod's service account, bound to the pod; renewed when 80 % of its life, or a
  // day, are over. While it can't be renewed the old one is given as long as it is valid.
  absl::StatusOr<std::string> Token(const kube::core::v1::Pod& pod,
                                    const kube::core::v1::ServiceAccountTokenProjection& wanted);
  // The pod is gone.
  void ForgetTokens(const std::string& pod_uid);

 private:
  using Key = std::pair<std::string, std::string>;  // kind, ns/name
  struct Kept {
    std::shared_ptr<const google::protobuf::Message> object;
    MonotonicTime read_at;
  };
  struct TokenKey {
    std::string pod_uid, audience;
    int64_t seconds = 0;
    bool operator<(const TokenKey& o) const {
      return std::tie(pod_uid, audience, seconds) < std::tie(o.pod_uid, o.audience, o.seconds);
    }
  };
  struct KeptToken {
    std::string token;
    WallTime renew_at, expires_at;
  };

  template <typename T>
  absl::StatusOr<std::shared_ptr<const T>> Read(const char* kind, const std::string& ns,
                                                const std::string& name, Duration age_max);
  void Keep(const Key& key, std::shared_ptr<const google::protobuf::Message> object);
  kube::Result<KeptToken> Request(const kube::core::v1::Pod& pod, const TokenKey& key);

  kube::Client& client_;
  const Clock& clock_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<Key, Kept> kept_;
  std::map<TokenKey, KeptToken> tokens_;
};

}  // namespace meltemi::kubelet
