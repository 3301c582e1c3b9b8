#include "kube/leader/leader.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/client/resource.h"
#include "kube/codec/codec.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/executor/executor.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using coordination::v1::Lease;

void SetTime(WallTime time, meta::v1::MicroTime* out) {
  const int64_t micros = time.time_since_epoch().count() / 1000;
  out->set_seconds(micros / 1'000'000);
  out->set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
}

int32_t WholeSeconds(Duration duration) {
  return static_cast<int32_t>(std::chrono::duration_cast<seconds>(duration).count());
}

// kFollowing -(the lease is free, or has not changed for its duration)-> kLeading
// kLeading -(not renewed in time, or somebody else has it)-> kLost: the end.
class Candidate : public std::enable_shared_from_this<Candidate> {
 public:
  Candidate(Client& client, Executor& executor, const LeaderOptions& options,
            std::function<void()> on_leading, std::function<void()> on_lost)
      : client_(client),
        executor_(executor),
        clock_(executor.clock()),
        options_(options),
        on_leading_(std::move(on_leading)),
        on_lost_(std::move(on_lost)),
        // Its own for each candidate, so that they do not knock in step.
        random_(XxHash64(options.identity)) {}

  void Start() { Schedule(Duration::zero()); }

  void Stop() {
    std::unique_ptr<Delayed> delayed;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      stopped_ = true;
      delayed = std::move(delayed_);
      at_rest_.wait(lock, [this] { return !under_way_; });
    }
    if (state_ == State::kLeading && options_.release_on_end) Release();
  }

  bool leading() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return leading_;
  }
  std::string leader() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return leader_;
  }

 private:
  enum class State : uint8_t { kFollowing, kLeading, kLost };

  void Schedule(Duration delay) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    delayed_ = executor_.After(delay, [weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Guarded();
    });
  }

  void Guarded() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopped_) return;
      under_way_ = true;
    }
    Step();
    const std::lock_guard<std::mutex> lock(mutex_);
    under_way_ = false;
    at_rest_.notify_all();
  }

  void Step() {
    const MonotonicTime begin = clock_.Now();
    const bool held = TryToHold(begin);
    if (state_ == State::kFollowing) {
      if (held) {
        Become(State::kLeading, begin);
        LOG(kInfo, "leader", options_.identity, " leads by ", options_.ns, "/", options_.lease);
        on_leading_();
        return Schedule(options_.retry_period);
      }
      // A tenth more or less than the others.
      return Schedule(options_.retry_period + Part(options_.retry_period));
    }
    if (held) {
      renewed_at_ = begin;
    } else if (taken_ || clock_.Now() - renewed_at_ >= options_.renew_deadline) {
      Become(State::kLost, begin);
      LOG(kError, "leader", options_.identity, " has lost ", options_.ns, "/", options_.lease);
      return on_lost_();
    }
    Schedule(std::min(options_.retry_period, renewed_at_ + options_.renew_deadline - clock_.Now()));
  }

  Duration Part(Duration whole) {
    return Duration(
        static_cast<int64_t>(static_cast<double>(whole.count()) * random_.Unit() * 1.2));
  }

  void Become(State state, MonotonicTime now) {
    state_ = state;
    renewed_at_ = now;
    const std::lock_guard<std::mutex> lock(mutex_);
    leading_ = state == State::kLeading;
  }

  // Of one call. A leader hears of a server that hangs before its time is over.
  Duration Timeout() const {
    const Duration left = state_ == State::kLeading
                              ? renewed_at_ + options_.renew_deadline - clock_.Now()
                              : options_.renew_deadline;
    return std::clamp(left, Duration(milliseconds(1)), options_.renew_deadline / 2);
  }

  bool TryToHold(MonotonicTime now) {
    const std::string path = ResourceOf<Lease>().Path(options_.ns, options_.lease);
    if (state_ == State::kLeading) {
      // As it was written last: read only when somebody has changed it.
      SetTime(clock_.WallNow(), lease_.mutable_spec()->mutable_renew_time());
      const Outcome written = Write("PUT", path, lease_, now);
      if (written.ok()) return true;
      if (!IsConflict(written.status())) return Failed("renew", written.status());
    }
    Result<Lease> read = Send({.path = path, .timeout = Timeout()});
    if (!read.ok() && !IsNotFound(read.status())) return Failed("read", read.status());
    if (!read.ok()) {
      return Held(Write("POST", ResourceOf<Lease>().Path(options_.ns), NewLease(), now));
    }
    See(*read, now);
    if (!MayTake(*read, now)) return false;
    coordination::v1::LeaseSpec& spec = *read->mutable_spec();
    SetTime(clock_.WallNow(), spec.mutable_renew_time());
    spec.set_lease_duration_seconds(WholeSeconds(options_.lease_duration));
    if (spec.holder_identity() != options_.identity) {
      spec.set_holder_identity(options_.identity);
      *spec.mutable_acquire_time() = spec.renew_time();
      spec.set_lease_transitions(spec.lease_transitions() + 1);
    }
    return Held(Write("PUT", path, *read, now));
  }

  void See(const Lease& lease, MonotonicTime now) {
    const std::string& version = lease.metadata().resource_version();
    if (version != lease_.metadata().resource_version()) seen_at_ = now;
    lease_ = lease;
    const std::lock_guard<std::mutex> lock(mutex_);
    leader_ = lease.spec().holder_identity();
  }

  // Whether it has run out is told by our own clock, from when we saw it change: clocks differ.
  bool MayTake(const Lease& lease, MonotonicTime now) {
    const std::string& holder = lease.spec().holder_identity();
    if (holder.empty() || holder == options_.identity) return true;
    if (now >= seen_at_ + seconds(lease.spec().lease_duration_seconds())) return true;
    taken_ = state_ == State::kLeading;
    return false;
  }

  Lease NewLease() const {
    Lease lease;
    lease.mutable_metadata()->set_namespace_(options_.ns);
    lease.mutable_metadata()->set_name(options_.lease);
    coordination::v1::LeaseSpec& spec = *lease.mutable_spec();
    spec.set_holder_identity(options_.identity);
    spec.set_lease_duration_seconds(WholeSeconds(options_.lease_duration));
    SetTime(clock_.WallNow(), spec.mutable_acquire_time());
    *spec.mutable_renew_time() = spec.acquire_time();
    spec.set_lease_transitions(0);
    return lease;
  }

  Result<Lease> Send(const ApiCall& call) {
    Result<ApiAnswer> answer = client_.Call(call);
    if (!answer.ok()) return answer.status();
    Lease lease;
    const absl::Status decoded = FromJson(answer->body, &lease);
    if (!decoded.ok()) return GenericStatus(500, decoded.message());
    return lease;
  }

  Outcome Write(const char* method, std::string path, const Lease& lease, MonotonicTime now) {
    const Result<Lease> written = Send(
        {.method = method, .path = std::move(path), .body = ToJson(lease), .timeout = Timeout()});
    if (!written.ok()) return written.status();
    See(*written, now);
    return Done{};
  }

  bool Held(const Outcome& written) { return written.ok() || Failed("write", written.status()); }

  bool Failed(absl::string_view doing, const Status& why) {
    if (!IsConflict(why) && !IsAlreadyExists(why)) {
      LOG(kWarn, "leader", doing, " ", options_.ns, "/", options_.lease, ": ", why.message);
    }
    return false;
  }

  // Nobody holds it: the next one need not wait. As client-go, with a lease of one second.
  void Release() {
    const std::string path = ResourceOf<Lease>().Path(options_.ns, options_.lease);
    lease_.mutable_spec()->set_holder_identity("");
    lease_.mutable_spec()->set_lease_duration_seconds(1);
    SetTime(clock_.WallNow(), lease_.mutable_spec()->mutable_renew_time());
    *lease_.mutable_spec()->mutable_acquire_time() = lease_.spec().renew_time();
    // Of the version that we have: when it is somebody else's by now, nothing happens.
    (void)Send({.method = "PUT", .path = path, .body = ToJson(lease_), .timeout = seconds(2)});
  }

  Client& client_;
  Executor& executor_;
  const Clock& clock_;
  const LeaderOptions options_;
  const std::function<void()> on_leading_, on_lost_;

  // Of the one step that is under way.
  FastRandom random_;
  State state_ = State::kFollowing;
  MonotonicTime renewed_at_;
  Lease lease_;  // as it was seen last
  MonotonicTime seen_at_;
  bool taken_ = false;  // somebody else has it although we lead

  mutable std::mutex mutex_;
  std::condition_variable at_rest_;
  // Guarded by mutex_.
  std::unique_ptr<Delayed> delayed_;
  std::string leader_;
  bool leading_ = false, under_way_ = false, stopped_ = false;
};

class Election final : public LeaderElection {
 public:
  explicit Election(std::shared_ptr<Candidate> candidate) : candidate_(std::move(candidate)) {}
  ~Election() override { candidate_->Stop(); }
  bool leading() const override { return candidate_->leading(); }
  std::string leader() const override { return candidate_->leader(); }

 private:
  const std::shared_ptr<Candidate> candidate_;
};

}  // namespace

std::unique_ptr<LeaderElection> StartLeaderElection(Client& client, Executor& executor,
                                                    const LeaderOptions& options,
                                                    std::function<void()> on_leading,
                                                    std::function<void()> on_lost) {
  auto candidate = std::make_shared<Candidate>(client, executor, options, std::move(on_leading),
                                               std::move(on_lost));
  candidate->Start();
  return std::make_unique<Election>(std::move(candidate));
}

}  // namespace meltemi::kube
