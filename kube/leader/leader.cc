#include "kube/leader/leader.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/bytes/xxhash.h"
#include "base/log/log.h"
#include "base/random/random.h"
#include "kube/client/typed.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/executor/executor.h"

namespace meltemi::kube {
namespace {

using coordination::v1::Lease;

// Candidates wait for a retry period and up to this many more, so that they do not all come at
// once.
constexpr double kJitter = 1.2;

//   candidate ── the lease is free, ours, or not renewed for its duration ──▶ leading
//   leading ── not renewed for the deadline ──▶ lost (for good)
//   any ── destroyed ──▶ ended
enum class State : uint8_t { kCandidate, kLeading, kLost, kEnded };

// Lives as long as somebody on the executor may come back to it.
class Election final : public std::enable_shared_from_this<Election> {
 public:
  Election(Client& client, Executor& executor, const LeaderOptions& options,
           std::function<void()> on_leading, std::function<void()> on_lost)
      : client_(client),
        executor_(executor),
        options_(options),
        on_leading_(std::move(on_leading)),
        on_lost_(std::move(on_lost)),
        random_(XxHash64(options.identity, 0)) {}

  void Begin() {
    executor_.Run([self = shared_from_this()] { self->Turn(); });
  }

  void End() {
    bool release = false;
    {
      // Waits for a turn or callback that is under way.
      const std::lock_guard<std::mutex> turn(turn_mutex_);
      const std::lock_guard<std::mutex> callback(callback_mutex_);
      const std::lock_guard<std::mutex> lock(mutex_);
      release = state_ == State::kLeading && options_.release_on_end;
      state_ = State::kEnded;
      next_.reset();
      deadline_.reset();
    }
    if (release) Release();
  }

  bool leading() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_ == State::kLeading;
  }
  std::string leader() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return holder_;
  }

 private:
  State state() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return state_;
  }

  // One try to get the lease or to keep it, and the appointment for the next one.
  void Turn() {
    const std::lock_guard<std::mutex> turn(turn_mutex_);
    const State before = state();
    if (before == State::kLost || before == State::kEnded) return;
    const MonotonicTime began = executor_.clock().Now();
    const bool held = Try(before == State::kLeading);
    bool begins = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (state_ != before) return;  // the deadline has passed in between
      begins = held && before == State::kCandidate;
      if (held) {
        state_ = State::kLeading;
        ArmDeadline(began);
      }
      Duration wait = options_.retry_period;
      if (state_ == State::kCandidate) {
        wait += std::chrono::duration_cast<Duration>(wait * (kJitter * random_.Unit()));
      }
      next_ = executor_.After(wait, [self = shared_from_this()] { self->Turn(); });
    }
    if (!begins) return;
    LOG(kInfo, "leader", options_.identity, " leads ", options_.ns, "/", options_.lease);
    const std::lock_guard<std::mutex> callback(callback_mutex_);
    on_leading_();
  }

  // From the beginning of the try: what others count from is no earlier.
  void ArmDeadline(MonotonicTime renewed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const Duration left = renewed + options_.renew_deadline - executor_.clock().Now();
    deadline_ = executor_.After(std::max(left, Duration(0)), [weak = weak_from_this(), renewed] {
      if (auto self = weak.lock()) self->OnDeadline(renewed);
    });
    renewed_ = renewed;
  }

  void OnDeadline(MonotonicTime renewed) {
    const std::lock_guard<std::mutex> callback(callback_mutex_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (state_ != State::kLeading || renewed_ != renewed) return;
      state_ = State::kLost;
      next_.reset();
    }
    LOG(kWarn, "leader", options_.identity, " could not renew ", options_.ns, "/", options_.lease,
        " in time");
    on_lost_();
  }

  bool Try(bool leading) {
    // A leader goes on from what it wrote last: one call less.
    if (leading && Write(Renewed(last_, /*transition=*/false), /*create=*/false)) return true;
    Result<Lease> current = Get<Lease>(client_, options_.ns, options_.lease);
    if (!current.ok()) {
      if (IsNotFound(current.status())) return Write(Renewed(Lease(), false), /*create=*/true);
      LOG(kWarn, "leader", "cannot read lease ", options_.ns, "/", options_.lease, ": ",
          current.status().message);
      return false;
    }
    Observe(*current);
    const std::string& holder = current->spec().holder_identity();
    if (!holder.empty() && holder != options_.identity && !Expired(*current)) return false;
    return Write(Renewed(*current, holder != options_.identity), /*create=*/false);
  }

  // Times of other machines are not compared: what counts is how long the lease has not changed for
  // us.
  void Observe(const Lease& lease) {
    const std::string& version = lease.metadata().resource_version();
    if (version != observed_version_) {
      observed_version_ = version;
      observed_at_ = executor_.clock().Now();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (holder_ == lease.spec().holder_identity()) return;
    holder_ = lease.spec().holder_identity();
    LOG(kInfo, "leader", options_.ns, "/", options_.lease, " is held by ",
        holder_.empty() ? "nobody" : holder_);
  }

  bool Expired(const Lease& lease) const {
    const Duration lasts = seconds(lease.spec().lease_duration_seconds());
    return executor_.clock().Now() >= observed_at_ + lasts;
  }

  meta::v1::MicroTime NowMicro() const {
    const auto since = executor_.clock().WallNow().time_since_epoch();
    meta::v1::MicroTime now;
    now.set_seconds(std::chrono::duration_cast<seconds>(since).count());
    now.set_nanos(static_cast<int32_t>((since % seconds(1)).count()));
    return now;
  }

  Lease Renewed(Lease lease, bool transition) const {
    const bool first = lease.spec().holder_identity().empty() || transition;
    lease.mutable_metadata()->set_namespace_(options_.ns);
    lease.mutable_metadata()->set_name(options_.lease);
    auto& spec = *lease.mutable_spec();
    spec.set_holder_identity(options_.identity);
    spec.set_lease_duration_seconds(static_cast<int32_t>(
        std::chrono::duration_cast<seconds>(options_.lease_duration + milliseconds(999)).count()));
    *spec.mutable_renew_time() = NowMicro();
    if (first) *spec.mutable_acquire_time() = NowMicro();
    spec.set_lease_transitions(spec.lease_transitions() + (transition ? 1 : 0));
    return lease;
  }

  bool Write(const Lease& lease, bool create) {
    Result<Lease> written = create ? Create(client_, lease) : Update(client_, lease);
    if (!written.ok()) {
      if (!IsConflict(written.status()) && !IsAlreadyExists(written.status())) {
        LOG(kWarn, "leader", "cannot write lease ", options_.ns, "/", options_.lease, ": ",
            written.status().message);
      }
      return false;
    }
    Observe(*written);
    last_ = *std::move(written);
    return true;
  }

  void Release() {
    Lease lease = Renewed(last_, false);
    lease.mutable_spec()->set_holder_identity("");
    lease.mutable_spec()->set_lease_duration_seconds(1);
    const Result<Lease> written = Update(client_, lease);
    if (!written.ok()) {
      LOG(kInfo, "leader", "cannot give back lease ", options_.ns, "/", options_.lease, ": ",
          written.status().message);
    }
  }

  Client& client_;
  Executor& executor_;
  const LeaderOptions options_;
  const std::function<void()> on_leading_, on_lost_;

  // Held during a turn: a turn's own state follows.
  std::mutex turn_mutex_;
  FastRandom random_;
  Lease last_;  // as this candidate wrote it
  std::string observed_version_;
  MonotonicTime observed_at_;

  std::mutex callback_mutex_;
  mutable std::mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kCandidate;
  std::string holder_ ABSL_GUARDED_BY(mutex_);
  MonotonicTime renewed_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Delayed> next_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Delayed> deadline_ ABSL_GUARDED_BY(mutex_);
};

class Handle final : public LeaderElection {
 public:
  explicit Handle(std::shared_ptr<Election> election) : election_(std::move(election)) {}
  ~Handle() override { election_->End(); }
  bool leading() const override { return election_->leading(); }
  std::string leader() const override { return election_->leader(); }

 private:
  const std::shared_ptr<Election> election_;
};

}  // namespace

std::unique_ptr<LeaderElection> StartLeaderElection(Client& client, Executor& executor,
                                                    const LeaderOptions& options,
                                                    std::function<void()> on_leading,
                                                    std::function<void()> on_lost) {
  auto election = std::make_shared<Election>(client, executor, options, std::move(on_leading),
                                             std::move(on_lost));
  election->Begin();
  return std::make_unique<Handle>(std::move(election));
}

}  // namespace meltemi::kube
