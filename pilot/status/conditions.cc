#include "pilot/status/conditions.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/executor/guard.h"
#include "pilot/status/condition_text.h"

namespace meltemi::pilot {
namespace {

class ConditionsImpl final : public Conditions,
                             public std::enable_shared_from_this<ConditionsImpl> {
 public:
  ConditionsImpl(Loop& loop, kube::Client& client, kube::Executor& executor,
                 ProgrammedSource& programmed, LiveObjects& live, const ConditionsOptions& options)
      : loop_(loop),
        client_(client),
        executor_(executor),
        programmed_(programmed),
        live_(live),
        options_(options),
        guard_(std::make_shared<kube::WorkGuard>()),
        timer_(loop.NewTimer([this] { Work(); })),
        tokens_(static_cast<double>(options.writes_per_second_max)),
        refilled_at_(loop.Now()) {}

  ~ConditionsImpl() override {
    programmed_.SetOnChange({});
    live_.SetOnLive({});
    guard_->Stop();
  }

  void Start() {
    const auto look = [this](const std::vector<ObjectKey>& keys) {
      for (const ObjectKey& key : keys) Consider(key);
    };
    programmed_.SetOnChange(look);
    live_.SetOnLive(look);
  }

  void SetLeading(bool leading) override {
    if (leading_ == leading) return;
    leading_ = leading;
    objects_.clear();
    due_.clear();
    if (!leading) return timer_->Disarm();
    for (const ObjectKey& key : live_.LiveKeys()) Consider(key);
  }

  ConditionsStats stats() const override {
    ConditionsStats stats = stats_;
    stats.waiting = due_.size();
    return stats;
  }

 private:
  // Of an object of which something is to be written, or has been.
  struct Entry {
    std::optional<MonotonicTime> due;  // its place in due_
    bool in_flight = false;
    int failures = 0;  // in a row
    MonotonicTime not_before{};
    // What our last write made of it, until the watch shows something newer than it was based on.
    std::string uid, based_on, resource_version, status_json;
    // What the server has taken without keeping it (a definition whose schema lacks it): it is not
    // written again and again.
    std::string futile;
  };

  struct Present {
    LiveObjectPtr live;
    std::string resource_version, status_json;
  };

  void Consider(const ObjectKey& key);
  Present PresentOf(const LiveObjectPtr& live, const Entry& entry) const;
  // What is to be written, and when at the earliest; nothing: it is all there.
  std::optional<ObjectConditions> Wanted(const ObjectKey& key, const Entry& entry,
                                         const Present& present, Duration* delay) const;
  void SetDue(const ObjectKey& key, Entry* entry, std::optional<MonotonicTime> due);
  void Work();
  void Refill();
  void Write(const ObjectKey& key, Entry* entry);
  void OnWritten(const ObjectKey& key, const LiveObjectPtr& live, const ObjectConditions& wanted,
                 const kube::Result<kube::ApiAnswer>& answer);
  void OnFailed(const ObjectKey& key, Entry* entry, const kube::Status& why);
  void ArmTimer();

  Loop& loop_;
  kube::Client& client_;
  kube::Executor& executor_;
  ProgrammedSource& programmed_;
  LiveObjects& live_;
  const ConditionsOptions options_;
  const std::shared_ptr<kube::WorkGuard> guard_;
  const std::unique_ptr<Timer> timer_;
  bool leading_ = false;
  std::map<ObjectKey, Entry> objects_;
  std::set<std::pair<MonotonicTime, ObjectKey>> due_;
  size_t in_flight_ = 0;
  double tokens_;
  MonotonicTime refilled_at_;
  ConditionsStats stats_;
};

ConditionsImpl::Present ConditionsImpl::PresentOf(const LiveObjectPtr& live,
                                                  const Entry& entry) const {
  if (entry.uid == live->uid && !entry.based_on.empty() &&
      entry.based_on == live->resource_version) {
    return {live, entry.resource_version, entry.status_json};
  }
  return {live, live->resource_version, live->status_json};
}

std::optional<ObjectConditions> ConditionsImpl::Wanted(const ObjectKey& key, const Entry& entry,
                                                       const Present& present,
                                                       Duration* delay) const {
  const std::optional<ProgramState> state = programmed_.State(key);
  std::optional<ObjectConditions> wanted =
      ConditionsOf(*present.live, state.has_value() ? &*state : nullptr);
  if (!wanted.has_value() || (!entry.futile.empty() && entry.futile == TextOf(*wanted))) {
    return std::nullopt;
  }
  switch (CompareStatus(present.status_json, *wanted)) {
    case StatusChange::kNone:
      return std::nullopt;
    case StatusChange::kMessage:
      *delay = options_.words;
      break;
    case StatusChange::kOutcome:
      // "Pending" is soon something else.
      *delay = wanted->conditions.back().reason == "Pending" ? options_.progress : options_.settle;
      break;
  }
  return wanted;
}

void ConditionsImpl::Consider(const ObjectKey& key) {
  if (!leading_ || !GetsConditions(key.kind)) return;
  const LiveObjectPtr live = live_.Live(key);
  const auto at = objects_.find(key);
  if (live == nullptr) {
    if (at == objects_.end()) return;
    SetDue(key, &at->second, std::nullopt);
    if (!at->second.in_flight) objects_.erase(at);
    return;
  }
  Entry& entry = at != objects_.end() ? at->second : objects_[key];
  if (entry.in_flight) return;  // it is looked at again afterwards
  Duration delay;
  if (!Wanted(key, entry, PresentOf(live, entry), &delay).has_value()) {
    return SetDue(key, &entry, std::nullopt);
  }
  const MonotonicTime when = std::max(loop_.Now() + delay, entry.not_before);
  // What waits already does not wait longer for what comes.
  SetDue(key, &entry, entry.due.has_value() ? std::min(*entry.due, when) : when);
}

void ConditionsImpl::SetDue(const ObjectKey& key, Entry* entry, std::optional<MonotonicTime> due) {
  if (entry->due == due) return;
  if (entry->due.has_value()) due_.erase({*entry->due, key});
  entry->due = due;
  if (due.has_value()) due_.insert({*due, key});
  ArmTimer();
}

void ConditionsImpl::ArmTimer() {
  // With all calls under way the next one to end goes on.
  if (due_.empty() || in_flight_ >= options_.in_flight_max) return timer_->Disarm();
  Duration wait = std::max(due_.begin()->first - loop_.Now(), Duration(milliseconds(1)));
  if (tokens_ < 1) {
    wait = std::max(wait, Duration(seconds(1)) / static_cast<int64_t>(std::max<size_t>(
                                                     options_.writes_per_second_max, 1)));
  }
  timer_->Arm(wait);
}

void ConditionsImpl::Refill() {
  const auto rate = static_cast<double>(options_.writes_per_second_max);
  const Duration passed = loop_.Now() - std::exchange(refilled_at_, loop_.Now());
  tokens_ = std::min(rate, tokens_ + rate * std::chrono::duration<double>(passed).count());
}

void ConditionsImpl::Work() {
  Refill();
  while (!due_.empty() && due_.begin()->first <= loop_.Now() && tokens_ >= 1 &&
         in_flight_ < options_.in_flight_max) {
    const ObjectKey key = due_.begin()->second;
    Entry& entry = objects_[key];
    due_.erase(due_.begin());
    entry.due.reset();
    Write(key, &entry);
  }
  ArmTimer();
}

void ConditionsImpl::Write(const ObjectKey& key, Entry* entry) {
  const LiveObjectPtr live = live_.Live(key);
  if (live == nullptr) return;
  const Present present = PresentOf(live, *entry);
  Duration delay;
  const std::optional<ObjectConditions> wanted = Wanted(key, *entry, present, &delay);
  if (!wanted.has_value()) return;
  kube::ApiCall call{
      .method = "PATCH",
      .path = live->resource.Path(key.ns, key.name, "status"),
      .query = {{"fieldManager", "meltemi-pilot"}},
      .body = StatusPatch(present.status_json, present.resource_version, *wanted, loop_.WallNow()),
      .content_type = "application/merge-patch+json",
      .timeout = seconds(10)};
  tokens_ -= 1;
  ++in_flight_;
  entry->in_flight = true;
  executor_.Run([this, guard = guard_, weak = weak_from_this(), key, live, wanted = *wanted,
                 call = std::move(call)] {
    if (!guard->Enter()) return;
    auto answer = std::make_shared<kube::Result<kube::ApiAnswer>>(client_.Call(call));
    loop_.Post([weak, key, live, wanted, answer] {
      if (const auto self = weak.lock()) self->OnWritten(key, live, wanted, *answer);
    });
    guard->Leave();
  });
}

void ConditionsImpl::OnWritten(const ObjectKey& key, const LiveObjectPtr& live,
                               const ObjectConditions& wanted,
                               const kube::Result<kube::ApiAnswer>& answer) {
  --in_flight_;
  // Leadership may have gone and come back meanwhile: then it is a new entry, or none.
  const auto at = objects_.find(key);
  if (at != objects_.end() && at->second.in_flight) {
    Entry& entry = at->second;
    entry.in_flight = false;
    if (answer.ok()) {
      ++stats_.written;
      entry.failures = 0;
      entry.uid = live->uid;
      entry.based_on = live->resource_version;
      const absl::StatusOr<json::Value> object = json::Parse(answer->body);
      const json::Value* version =
          object.ok() ? object->Find("metadata", "resourceVersion") : nullptr;
      const json::Value* status = object.ok() ? object->Find("status") : nullptr;
      entry.resource_version = version == nullptr ? live->resource_version : version->text();
      entry.status_json = status == nullptr ? "" : json::ToString(*status);
      const bool kept = CompareStatus(entry.status_json, wanted) == StatusChange::kNone;
      entry.futile = kept ? "" : TextOf(wanted);
    } else {
      OnFailed(key, &entry, answer.status());
    }
  }
  Consider(key);
  ArmTimer();
}

void ConditionsImpl::OnFailed(const ObjectKey& key, Entry* entry, const kube::Status& why) {
  entry->based_on.clear();
  const int doublings = std::min(entry->failures++, 16);
  Duration wait = std::min(options_.backoff_max, options_.backoff_min * (int64_t{1} << doublings));
  if (kube::IsConflict(why)) {
    // Somebody was faster: the watch brings what they wrote.
    ++stats_.conflicts;
  } else {
    ++stats_.failed;
    // What is refused (no rights, a definition without the status subresource) stays refused.
    if (!kube::IsTransient(why)) wait = options_.backoff_max;
    LOG(kWarn, "status", key.ToString(), ": its conditions can't be written: ", why.message);
  }
  entry->not_before = loop_.Now() + wait;
}

class Handle final : public Conditions {
 public:
  explicit Handle(std::shared_ptr<ConditionsImpl> impl) : impl_(std::move(impl)) {}
  void SetLeading(bool leading) override { impl_->SetLeading(leading); }
  ConditionsStats stats() const override { return impl_->stats(); }

 private:
  const std::shared_ptr<ConditionsImpl> impl_;
};

}  // namespace

std::unique_ptr<Conditions> NewConditions(Loop& loop, kube::Client& client,
                                          kube::Executor& executor, ProgrammedSource& programmed,
                                          LiveObjects& live, const ConditionsOptions& options) {
  auto impl = std::make_shared<ConditionsImpl>(loop, client, executor, programmed, live, options);
  impl->Start();
  return std::make_unique<Handle>(std::move(impl));
}

}  // namespace meltemi::pilot
