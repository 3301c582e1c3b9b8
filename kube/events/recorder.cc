#include "kube/events/recorder.h"

#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "kube/client/client.h"
#include "kube/client/typed.h"
#include "kube/core/v1/event.pb.h"
#include "kube/events/correlator.h"
#include "kube/executor/executor.h"

namespace meltemi::kube {
namespace {

using core::v1::Event;

constexpr size_t kMessageBytesMax = 1024;
constexpr size_t kLanes = 4;
constexpr int kTriesMax = 12;
constexpr Duration kTryAgainAfter = seconds(10);

// At the end of a character.
std::string Cut(absl::string_view text) {
  if (text.size() <= kMessageBytesMax) return std::string(text);
  size_t size = kMessageBytesMax;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return std::string(text.substr(0, size));
}

// Events of some of the objects, written one after the other: those of one object keep their order.
class Lane : public std::enable_shared_from_this<Lane> {
 public:
  Lane(Client& client, Executor& executor, size_t pending_max)
      : client_(client), executor_(executor), pending_max_(pending_max) {}

  // False when it is full.
  bool Add(Event event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || pending_.size() >= pending_max_) return false;
    pending_.push_back(std::move(event));
    if (!std::exchange(busy_, true)) Continue();
    return true;
  }

  void Stop() {
    std::unique_ptr<Delayed> delayed;
    std::unique_lock<std::mutex> lock(mutex_);
    stopped_ = true;
    delayed = std::move(delayed_);
    at_rest_.wait(lock, [this] { return !writing_; });
  }

 private:
  // With the lock held.
  void Continue() {
    executor_.Run([self = shared_from_this()] { self->Step(); });
  }

  void Step() {
    Event event;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopped_) return;
      event = pending_.front();
      writing_ = true;
    }
    const bool written = Write(std::move(event));
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (stopped_) return at_rest_.notify_all();
    if (!written && ++tries_ < kTriesMax) {
      delayed_ = executor_.After(kTryAgainAfter, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->Step();
      });
      return;
    }
    tries_ = 0;
    current_.reset();
    pending_.pop_front();
    pending_.empty() ? void(busy_ = false) : Continue();
  }

  // False when it is to be tried again: the server could not be reached.
  bool Write(Event event) {
    using Action = CorrelatedEvent::Action;
    if (!current_.has_value()) {
      const WallTime now = executor_.clock().WallNow();
      current_ = correlator_.Correlate(std::move(event), now);
    }
    if (current_->action == Action::kDrop) return true;
    const meta::v1::ObjectMeta& meta = current_->event.metadata();
    if (current_->action == Action::kPatch) {
      const Result<Event> patched = Patch<Event>(client_, meta.namespace_(), meta.name(),
                                                 PatchType::kStrategicMerge, current_->patch_json);
      if (patched.ok() || !IsNotFound(patched.status())) return Told(patched);
      // Events go away after a while: it begins anew.
      current_->event.mutable_metadata()->set_name(
          absl::StrCat(current_->event.involved_object().name(), ".", UniqueHex()));
    }
    return Told(Create(client_, current_->event));
  }

  // Unique among the events of an object: by the time.
  std::string UniqueHex() const {
    return absl::StrCat(absl::Hex(executor_.clock().WallNow().time_since_epoch().count()));
  }

  bool Told(const Result<Event>& result) {
    if (result.ok()) {
      correlator_.Stored(current_->key, *result);
      return true;
    }
    // It was written, and the answer lost.
    if (IsAlreadyExists(result.status())) return true;
    if (result.status().code == 0) return false;
    if (!IsNamespaceTerminating(result.status())) {
      LOG(kInfo, "events", current_->event.involved_object().name(), ": ", current_->event.reason(),
          ": ", result.status().message);
    }
    correlator_.Forget(current_->key);
    return true;
  }

  Client& client_;
  Executor& executor_;
  const size_t pending_max_;

  // Of the one step that is under way.
  EventCorrelator correlator_;
  std::optional<CorrelatedEvent> current_;
  int tries_ = 0;

  std::mutex mutex_;
  std::condition_variable at_rest_;
  // Guarded by mutex_.
  std::deque<Event> pending_;  // the first is being written
  bool busy_ = false;          // a step is due or under way
  bool writing_ = false, stopped_ = false;
  std::unique_ptr<Delayed> delayed_;
};

class ApiEventRecorder final : public EventRecorder {
 public:
  ApiEventRecorder(Client& client, Executor& executor, const EventRecorderOptions& options)
      : clock_(executor.clock()), options_(options) {
    for (auto& lane : lanes_) {
      lane = std::make_shared<Lane>(client, executor, options.pending_max / kLanes + 1);
    }
  }
  ~ApiEventRecorder() override {
    for (const auto& lane : lanes_) lane->Stop();
  }

  void RecordFor(const core::v1::ObjectReference& object, absl::string_view type,
                 absl::string_view reason, absl::string_view message) override {
    const int64_t now_ns = clock_.WallNow().time_since_epoch().count();
    Event event;
    event.mutable_metadata()->set_name(
        absl::StrCat(object.name(), ".", absl::Hex(UniqueTime(now_ns))));
    event.mutable_metadata()->set_namespace_(object.namespace_().empty() ? "default"
                                                                         : object.namespace_());
    *event.mutable_involved_object() = object;
    event.set_type(std::string(type));
    event.set_reason(std::string(reason));
    event.set_message(Cut(message));
    event.mutable_source()->set_component(options_.component);
    event.mutable_source()->set_host(options_.host);
    event.set_reporting_component(options_.component);
    event.set_reporting_instance(options_.host);
    event.mutable_first_timestamp()->set_seconds(now_ns / 1'000'000'000);
    event.mutable_last_timestamp()->set_seconds(now_ns / 1'000'000'000);
    event.set_count(1);
    const uint64_t lane = XxHash64(object.name()) % kLanes;
    if (!lanes_[lane]->Add(std::move(event))) {
      LOG(kDebug, "events", "dropped: ", object.name(), ": ", reason, ": ", message);
    }
  }

 private:
  // Two events of one moment (a simulated clock stands still) have different names.
  int64_t UniqueTime(int64_t now_ns) {
    const std::lock_guard<std::mutex> lock(mutex_);
    last_ns_ = now_ns > last_ns_ ? now_ns : last_ns_ + 1;
    return last_ns_;
  }

  const Clock& clock_;
  const EventRecorderOptions options_;
  std::mutex mutex_;
  int64_t last_ns_ = 0;  // guarded by mutex_
  std::array<std::shared_ptr<Lane>, kLanes> lanes_;
};

}  // namespace

std::unique_ptr<EventRecorder> NewEventRecorder(Client& client, Executor& executor,
                                                const EventRecorderOptions& options) {
  return std::make_unique<ApiEventRecorder>(client, executor, options);
}

}  // namespace meltemi::kube
