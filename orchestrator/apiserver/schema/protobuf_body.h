// Request bodies in Kubernetes' protobuf form (application/vnd.kubernetes.protobuf), which newer
// kubectl and Go clients send for built-in kinds, made into JSON. Answers are JSON always: such
// clients accept both.
//
// Threads: thread-safe. The descriptors are built when the first such body comes.
// Source: k8s.io/apimachinery/pkg/runtime (Unknown), kubernetes.io/docs/reference/using-api.
#pragma once

#include <memory>
#include <mutex>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"

namespace meltemi::apiserver {

inline constexpr absl::string_view kProtobufMediaType = "application/vnd.kubernetes.protobuf";

class ProtobufBodies {
 public:
  ProtobufBodies();
  ~ProtobufBodies();
  ProtobufBodies(const ProtobufBodies&) = delete;
  ProtobufBodies& operator=(const ProtobufBodies&) = delete;

  // The object with apiVersion and kind. Error: BadRequest for bytes that are not such a body or a
  // kind that is not built in.
  kube::Result<json::Value> Decode(absl::string_view body);

 private:
  class Pool;
  Pool& pool();

  std::once_flag once_;
  std::unique_ptr<Pool> pool_;
};

}  // namespace meltemi::apiserver
