#include "orchestrator/scheduler/queue/queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "google/protobuf/util/message_differencer.h"

namespace meltemi::scheduler {
namespace {

constexpr size_t kInFlightEventsMax = 1000;

bool IsGated(const PodInfo& pod) { return pod.pod->spec().scheduling_gates_size() > 0; }

bool SameTolerations(const PodInfo& a, const PodInfo& b) {
  const auto& left = a.pod->spec().tolerations();
  const auto& right = b.pod->spec().tolerations();
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const auto& x, const auto& y) {
                      return google::protobuf::util::MessageDifferencer::Equals(x, y);
                    });
}

bool SameRequest(const Resources& a, const Resources& b) {
  return std::tie(a.milli_cpu, a.memory_bytes, a.ephemeral_bytes, a.extended) ==
         std::tie(b.milli_cpu, b.memory_bytes, b.ephemeral_bytes, b.extended);
}

// Whether something that rules look at is other than before. Conditions, which the scheduler writes
// itself, do not count.
bool Matters(const PodInfo& before, const PodInfo& after) {
  return before.labels != after.labels || !SameRequest(before.request, after.request) ||
         !SameTolerations(before, after) || IsGated(before) != IsGated(after);
}

}  // namespace

bool Queue::ByPriority::operator()(const Entry* a, const Entry* b) const {
  return std::make_tuple(-int64_t{a->pod->priority}, a->since, a->turn) <
         std::make_tuple(-int64_t{b->pod->priority}, b->since, b->turn);
}

bool Queue::ByDue::operator()(const Entry* a, const Entry* b) const {
  return std::tie(a->due, a->turn) < std::tie(b->due, b->turn);
}

Queue::Queue(const QueueOptions& options, const QueueGauges& gauges, Gate& gate, MayHelp may_help,
             std::function<void()> on_active)
    : options_(options),
      gauges_(gauges),
      gate_(gate),
      may_help_(std::move(may_help)),
      on_active_(std::move(on_active)) {}

void Queue::Set(PodInfoPtr pod) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(pod->uid);
  if (found != entries_.end()) {
    Change(*found->second, std::move(pod));
    return;
  }
  Entry& entry = Add(std::move(pod));
  Enter(entry, IsGated(*entry.pod) ? Place::kGated : Place::kActive);
}

void Queue::Change(Entry& entry, PodInfoPtr pod) {
  const Place place = entry.place;
  if (place == Place::kActive) Leave(entry);  // it may have another priority now
  const PodInfoPtr before = std::exchange(entry.pod, std::move(pod));
  if (place == Place::kActive) Enter(entry, Place::kActive);
  if (place == Place::kGated && !IsGated(*entry.pod)) {
    Leave(entry);
    Enter(entry, Place::kActive);
  }
  if ((place != Place::kWaiting && place != Place::kInFlight) || !Matters(*before, *entry.pod)) {
    return;
  }
  ClusterEvent event;
  event.type = ClusterEvent::Type::kSelfChanged;
  event.pod_before = before;
  event.pod_after = entry.pod;
  if (place == Place::kInFlight) {
    in_flight_events_.push_back(std::move(event));
  } else if (may_help_(*entry.pod, entry.refused_by, event)) {
    Requeue(entry);
  }
}

void Queue::Remove(absl::string_view uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(uid);
  if (found == entries_.end()) return;
  Leave(*found->second);
  entries_.erase(found);
}

void Queue::OnEvent(const ClusterEvent& event) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (counts_.in_flight > 0) {
    if (in_flight_events_.size() < kInFlightEventsMax) {
      in_flight_events_.push_back(event);
    } else {
      flood_ = true;
    }
  }
  if (counts_.waiting == 0) return;
  std::vector<Entry*> helped;
  for (Entry* entry : timed_) {
    if (entry->place == Place::kWaiting && !entry->woken &&
        may_help_(*entry->pod, entry->refused_by, event)) {
      helped.push_back(entry);
    }
  }
  for (Entry* entry : helped) Requeue(*entry);
}

std::optional<Attempt> Queue::Pop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (active_.empty()) return std::nullopt;
  Entry& entry = **active_.begin();
  Leave(entry);
  Enter(entry, Place::kInFlight);
  in_flight_events_.clear();
  flood_ = false;
  ++entry.attempts;
  entry.refused_by = 0;
  return Attempt{entry.pod, entry.attempts, *entry.first_tried};
}

void Queue::Done(absl::string_view uid) { Remove(uid); }

void Queue::Refuse(absl::string_view uid, PluginSet refused_by, bool held) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(uid);
  if (found == entries_.end() || found->second->place != Place::kInFlight) return;
  Entry& entry = *found->second;
  entry.refused_by = refused_by;
  Leave(entry);
  Stamp(entry);
  entry.held = held;
  entry.woken = false;
  const bool helped = Helped(entry);
  Enter(entry, Place::kWaiting);
  if (helped) Requeue(entry);
}

bool Queue::Helped(const Entry& entry) const {
  return flood_ || std::any_of(in_flight_events_.begin(), in_flight_events_.end(),
                               [&](const ClusterEvent& event) {
                                 return may_help_(*entry.pod, entry.refused_by, event);
                               });
}

void Queue::Release(absl::string_view uid, bool again) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(uid);
  if (found == entries_.end() || !found->second->held) return;
  found->second->held = false;
  if (again || found->second->woken) Requeue(*found->second);
}

void Queue::Retry(PodInfoPtr pod, const Attempt& attempt) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(pod->uid);
  Entry& entry = found == entries_.end() ? Add(std::move(pod)) : *found->second;
  entry.attempts = std::max(entry.attempts, attempt.attempts);
  entry.first_tried = attempt.first_tried;
  // An entry that is elsewhere has come back by itself in between.
  if (entry.place != Place::kInFlight && entry.place != Place::kNone) return;
  Leave(entry);
  Stamp(entry);
  Requeue(entry);
}

Queue::Counts Queue::counts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

// ---- places ----

Queue::Entry& Queue::Add(PodInfoPtr pod) {
  std::unique_ptr<Entry>& entry = entries_[pod->uid];
  entry = std::make_unique<Entry>();
  entry->pod = std::move(pod);
  Stamp(*entry);
  return *entry;
}

void Queue::Stamp(Entry& entry) {
  entry.since = gate_.Now();
  entry.turn = ++turns_;
}

void Queue::Count(Place place, int by) {
  const auto count = [by](size_t& number, metrics::Gauge* gauge) {
    number += static_cast<size_t>(by);
    if (gauge != nullptr) gauge->Set(static_cast<int64_t>(number));
  };
  if (place == Place::kActive) count(counts_.active, gauges_.active);
  if (place == Place::kBackoff) count(counts_.backing_off, gauges_.backing_off);
  if (place == Place::kWaiting) count(counts_.waiting, gauges_.waiting);
  if (place == Place::kGated) count(counts_.gated, gauges_.gated);
  if (place == Place::kInFlight) count(counts_.in_flight, nullptr);
}

void Queue::Leave(Entry& entry) {
  if (entry.place == Place::kNone) return;
  if (entry.place == Place::kActive) active_.erase(&entry);
  if (entry.place == Place::kBackoff || entry.place == Place::kWaiting) timed_.erase(&entry);
  Count(entry.place, -1);
  entry.place = Place::kNone;
}

void Queue::Enter(Entry& entry, Place place) {
  entry.place = place;
  Count(place, 1);
  if (place == Place::kActive) {
    if (!entry.first_tried.has_value()) entry.first_tried = gate_.Now();
    active_.insert(&entry);
    on_active_();
  } else if (place == Place::kBackoff || place == Place::kWaiting) {
    entry.due =
        place == Place::kBackoff ? BackoffEnd(entry) : entry.since + options_.unschedulable_max;
    timed_.insert(&entry);
    ArmTimer();
  }
}

// To be tried again, as soon as it may.
void Queue::Requeue(Entry& entry) {
  if (entry.held) {
    entry.woken = true;
    return;
  }
  Leave(entry);
  Enter(entry, BackoffEnd(entry) > gate_.Now() ? Place::kBackoff : Place::kActive);
}

MonotonicTime Queue::BackoffEnd(const Entry& entry) const {
  if (entry.attempts == 0) return entry.since;
  Duration backoff = options_.backoff_initial;
  for (int i = 1; i < entry.attempts && backoff < options_.backoff_max; ++i) backoff *= 2;
  return entry.since + std::min(backoff, options_.backoff_max);
}

void Queue::ArmTimer() {
  if (timed_.empty()) return;
  const MonotonicTime due = (*timed_.begin())->due;
  if (timer_at_.has_value() && *timer_at_ <= due) return;
  timer_at_ = due;
  timer_ = gate_.After(std::max(due - gate_.Now(), Duration(0)), [this] { OnTimer(); });
}

void Queue::OnTimer() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const MonotonicTime now = gate_.Now();
  timer_at_.reset();
  while (!timed_.empty() && (*timed_.begin())->due <= now) {
    Entry& entry = **timed_.begin();
    Leave(entry);
    if (entry.held) {
      // Nobody has released it for very long: whatever it waits for is lost.
      entry.held = false;
    }
    Enter(entry, Place::kActive);
  }
  ArmTimer();
}

}  // namespace meltemi::scheduler
