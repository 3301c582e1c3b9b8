// An object of the API server -> what pilot keeps of it: Istio's kinds decoded and judged as
// manifests are, Kubernetes' kinds cut down to what the model reads.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kube/client/resource.h"
#include "pilot/ingest/decode/kinds.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/kube/live_object.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// What is wrong with an object on its own. One with errors is not taken. Called on any thread.
using KubeValidator = std::function<std::vector<Diagnostic>(const Object&)>;

// One object as it is now.
struct Arrival {
  ObjectKey key;
  bool gone = false;  // deleted, or nothing that pilot needs
  ObjectPtr object;   // null: gone, or in error
  std::vector<Diagnostic> diagnostics;
  LiveObjectPtr live;  // Istio's kinds alone; null: gone
  // Tells one content from another; of `object`.
  uint64_t fingerprint = 0;
};

// The message that the objects of a kind are read into.
const google::protobuf::Message& PrototypeOf(const KindInfo& info);

// Which objects of a kind are asked for; empty: all.
absl::string_view FieldSelectorOf(Kind kind);

// `message` is one of PrototypeOf(info), which is used up.
Arrival Convert(const KindInfo& info, const kube::ApiResource& resource,
                std::unique_ptr<google::protobuf::Message> message, const KubeValidator& validator);

// Its key alone.
Arrival Gone(const KindInfo& info, const google::protobuf::Message& message);

}  // namespace meltemi::pilot
