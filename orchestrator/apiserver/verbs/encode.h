// Objects and lists in the shape that a client wants: as they are, as a Table, as
// PartialObjectMetadata.
//
// Threads: functions without state.
// Source: k8s.io/apiserver/pkg/endpoints/handlers/response.go.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/negotiation.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// What goes into the rows of a Table beside the cells.
enum class IncludeObject : uint8_t { kMetadata, kNone, kObject };
kube::Result<IncludeObject> ParseIncludeObject(const Request& request);

struct ListHead {
  std::string resource_version;
  std::string continue_token;  // "" when complete
  int64_t remaining = 0;       // 0: not said
};

class Encoder {
 public:
  // `resource` and `clock` (for ages) outlive it.
  Encoder(const Resource& resource, Representation representation, IncludeObject include,
          const Clock& clock)
      : resource_(resource),
        representation_(std::move(representation)),
        include_(include),
        clock_(clock) {}

  // In the version of the resource.
  Reply Object(int code, const json::Value& object) const;
  // As it stands in the cache; its bytes are copied where that is possible.
  Reply Cached(const CachedObject& object) const;
  Reply List(const std::vector<ObjectPtr>& objects, const ListHead& head) const;
  // The object of a watch event.
  void AppendEvent(const CachedObject& object, std::string* out) const;
  // Equal for encoders that append the same bytes.
  std::string Key() const;
  // Of the kind that is written.
  std::string api_version() const;
  std::string kind() const;

 private:
  void AppendTree(const json::Value& object, std::string* out) const;
  void AppendAsServed(const CachedObject& object, std::string* out) const;
  void BeginTable(const ListHead& head, json::Writer& writer) const;
  void WriteRow(const json::Value& object, json::Writer& writer) const;
  void WritePartial(const json::Value& object, json::Writer& writer) const;
  int64_t NowSeconds() const;
  Reply Finish(int code, std::string bytes) const;

  const Resource& resource_;
  const Representation representation_;
  const IncludeObject include_;
  const Clock& clock_;
};

// Any tree as the client wants it written: Status, Scale and their like.
Reply TreeReply(int code, const json::Value& value, const Representation& representation);

}  // namespace meltemi::apiserver
