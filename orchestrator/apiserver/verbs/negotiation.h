// What a client wants to get and says that it sends: Accept and Content-Type.
//
// Threads: functions without state. Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation.
#pragma once

#include <string>

#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

struct Representation {
  enum class Shape : uint8_t {
    kObject,       // the object or list itself
    kTable,        // as=Table
    kPartial,      // as=PartialObjectMetadata
    kPartialList,  // as=PartialObjectMetadataList
  };
  Shape shape = Shape::kObject;
  std::string meta_version = "v1";  // of meta.k8s.io, for all shapes but kObject
  bool yaml = false;
  bool pretty = false;
};

// Error: NotAcceptable.
kube::Result<Representation> NegotiateAnswer(const Request& request);
// Watches are JSON alone.
kube::Result<Representation> NegotiateWatch(const Request& request);

// Whether the body is YAML. Error: UnsupportedMediaType.
kube::Result<bool> BodyIsYaml(const Request& request);

// The media type of a header, without parameters, in lower case.
std::string MediaTypeOf(absl::string_view header);

kube::Status UnsupportedMedia(const std::vector<std::string>& supported);

}  // namespace meltemi::apiserver
