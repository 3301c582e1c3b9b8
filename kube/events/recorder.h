// Events for people: "Normal  Scheduled  pod/x  Successfully assigned …". Written in the
// background; what repeats is counted in one Event; a flood about one object is cut off.
//
// Threads: thread-safe; Record never blocks. Source: client-go's tools/record (aggregation: 10
// similar ones in 10 minutes; flood: 25 at once per object, then one in 5 minutes).
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::kube::core::v1 {
class ObjectReference;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kube {

class Client;
class Executor;

constexpr char kNormal[] = "Normal";
constexpr char kWarning[] = "Warning";

class EventRecorder {
 public:
  virtual ~EventRecorder() = default;

  // `object` is of a resource's type; `message` is cut at 1024 bytes.
  void Record(const google::protobuf::Message& object, absl::string_view type,
              absl::string_view reason, absl::string_view message);
  virtual void RecordFor(const core::v1::ObjectReference& object, absl::string_view type,
                         absl::string_view reason, absl::string_view message) = 0;
};

struct EventRecorderOptions {
  std::string component;  // "deployment-controller": the event's source
  std::string host;
  size_t pending_max = 1000;  // more are dropped
};

std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, Executor& executor,
                                                const EventRecorderOptions& options);

core::v1::ObjectReference ReferenceTo(const google::protobuf::Message& object);

}  // namespace meltemi::kube
