#include "kube/events/correlator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"
#include "kube/object/object.h"

namespace meltemi::kube {
namespace {

using core::v1::Event;

constexpr size_t kSimilarMax = 10;
constexpr Duration kSimilarInterval = minutes(10);
constexpr double kFloodBurst = 25, kFloodPerSecond = 1.0 / 300;

std::string KeyOf(std::initializer_list<absl::string_view> parts) {
  return absl::StrJoin(parts, "\n");  // no part has one, but the message, which comes last
}

std::string ObjectKey(const Event& event) {
  const core::v1::ObjectReference& object = event.involved_object();
  return KeyOf({event.source().component(), event.source().host(), object.kind(),
                object.namespace_(), object.name(), object.uid(), object.api_version()});
}

std::string SimilarKey(const Event& event) {
  return KeyOf({ObjectKey(event), event.type(), event.reason(), event.reporting_component(),
                event.reporting_instance()});
}

std::string SameKey(const Event& event) {
  return KeyOf({ObjectKey(event), event.involved_object().field_path(), event.type(),
                event.reason(), event.message()});
}

std::string CountPatch(const Event& event) {
  std::string out;
  json::Writer(&out)
      .BeginObject()
      .Key("count")
      .Int(event.count())
      .Key("lastTimestamp")
      .String(FormatTime(event.last_timestamp().seconds()))
      .Key("message")
      .String(event.message())
      .EndObject();
  return out;
}

}  // namespace

std::string EventCorrelator::Combine(Event* event, WallTime now) {
  const std::string key = SimilarKey(*event);
  Similar& similar = similar_.Get(key);
  if (now - similar.last > kSimilarInterval) similar.messages.clear();
  similar.last = now;
  similar.messages.insert(event->message());
  if (similar.messages.size() < kSimilarMax) return SameKey(*event);
  // One goes, so that the set stays bounded.
  similar.messages.erase(similar.messages.begin());
  event->set_message(absl::StrCat("(combined from similar events): ", event->message()));
  return key;
}

bool EventCorrelator::IsFlood(const Event& event, WallTime now) {
  Bucket& bucket = buckets_.Get(ObjectKey(event));
  if (bucket.tokens < 0) {
    bucket.tokens = kFloodBurst;
  } else {
    const double passed = std::chrono::duration<double>(now - bucket.at).count();
    bucket.tokens = std::min(kFloodBurst, bucket.tokens + std::max(0.0, passed) * kFloodPerSecond);
  }
  bucket.at = now;
  if (bucket.tokens < 1) return true;
  bucket.tokens -= 1;
  return false;
}

CorrelatedEvent EventCorrelator::Correlate(Event event, WallTime now) {
  CorrelatedEvent out;
  out.key = Combine(&event, now);
  Seen& seen = seen_.Get(out.key);
  ++seen.count;
  if (seen.count > 1 && !seen.name.empty()) {
    event.mutable_metadata()->set_name(seen.name);
    event.mutable_first_timestamp()->set_seconds(seen.first_seconds);
    event.set_count(seen.count);
    out.patch_json = CountPatch(event);
    out.action = CorrelatedEvent::Action::kPatch;
  } else {
    seen.first_seconds = event.first_timestamp().seconds();
    out.action = CorrelatedEvent::Action::kCreate;
  }
  if (IsFlood(event, now)) out.action = CorrelatedEvent::Action::kDrop;
  out.event = std::move(event);
  return out;
}

void EventCorrelator::Stored(const std::string& key, const Event& event) {
  Seen& seen = seen_.Get(key);
  seen.name = event.metadata().name();
  seen.count = event.count();
  seen.first_seconds = event.first_timestamp().seconds();
}

void EventCorrelator::Forget(const std::string& key) { seen_.Get(key) = Seen(); }

}  // namespace meltemi::kube
