#include "kube/queue/controller.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/log/log.h"
#include "kube/executor/executor.h"

namespace meltemi::kube {
namespace {

// Seconds; those of client-go's workqueue metrics.
constexpr std::array<double, 10> kBounds = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10};

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Tokens that come at a rate; who finds none waits for the one that is due to it.
class TokenBucket {
 public:
  TokenBucket(double per_second, int burst, MonotonicTime now)
      : per_second_(per_second), burst_(burst), tokens_(burst), at_(now) {}

  Duration Take(MonotonicTime now) {
    tokens_ = std::min(burst_, tokens_ + Seconds(now - at_) * per_second_);
    at_ = now;
    tokens_ -= 1;
    if (tokens_ >= 0) return Duration::zero();
    return Duration(static_cast<int64_t>(-tokens_ / per_second_ * 1e9));
  }

 private:
  const double per_second_, burst_;
  double tokens_;
  MonotonicTime at_;
};

// Written under the queue's lock, one writer at a time.
struct Metrics {
  Metrics(metrics::Registry& registry, const std::string& name)
      : scope(registry.NewShard(), {{"name", name}}),
        errors_scope(registry.NewShard(), {{"controller", name}}),
        adds(scope.GetCounter("workqueue_adds_total")),
        retries(scope.GetCounter("workqueue_retries_total")),
        depth(scope.GetGauge("workqueue_depth")),
        waited(scope.GetHistogram("workqueue_queue_duration_seconds", kBounds)),
        worked(scope.GetHistogram("workqueue_work_duration_seconds", kBounds)),
        errors(errors_scope.GetCounter("controller_runtime_reconcile_errors_total")) {
    registry.Describe("workqueue_adds_total", "Total number of adds handled by workqueue");
    registry.Describe("workqueue_retries_total", "Total number of retries handled by workqueue");
    registry.Describe("workqueue_depth", "Current depth of workqueue");
  }

  metrics::Scope scope, errors_scope;
  metrics::Counter &adds, &retries;
  metrics::Gauge& depth;
  metrics::Histogram &waited, &worked;
  metrics::Counter& errors;
};

// What the controller shares with its work in the executor, which may outlive it.
class Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(const ControllerOptions& options, Executor& executor, metrics::Registry* registry,
        Controller::Reconcile reconcile)
      : options_(options),
        executor_(executor),
        clock_(executor.clock()),
        reconcile_(std::move(reconcile)),
        bucket_(options.retries_per_second, options.retries_burst, clock_.Now()) {
    if (registry != nullptr) metrics_ = std::make_unique<Metrics>(*registry, options.name);
  }

  void Start() {
    const std::lock_guard<std::mutex> lock(mutex_);
    started_ = true;
    StartWorkers();
  }

  void Stop() {
    std::unique_ptr<Delayed> timer;  // destroyed without the lock
    std::unique_lock<std::mutex> lock(mutex_);
    stopped_ = true;
    timer = std::move(timer_);
    idle_.wait(lock, [this] { return working_ == 0; });
    metrics_.reset();
  }

  void Add(const NamespacedName& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!stopped_) Enqueue(key);
  }

  void AddAfter(const NamespacedName& key, Duration delay) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    delay <= Duration::zero() ? Enqueue(key) : PutOff(key, delay, false);
  }

  int failures(const NamespacedName& key) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = keys_.find(key);
    return at == keys_.end() ? 0 : at->second.failures;
  }

  size_t busy() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return queue_.size() + working_ + retries_;
  }

 private:
  // What is known of a key. One that is neither wanted, worked on, put off nor failing is
  // forgotten.
  struct Key {
    bool wanted = false;  // in the queue, or to be put there once it is not worked on any more
    bool working = false;
    bool retry = false;  // put off by a failure
    int failures = 0;
    MonotonicTime since;  // in the queue
    std::optional<MonotonicTime> later;
  };
  using Keys = std::map<NamespacedName, Key>;

  // All below: with the lock held, but Work.
  void Enqueue(const NamespacedName& name) {
    const auto at = keys_.try_emplace(name).first;
    if (at->second.wanted) return;
    at->second.wanted = true;
    if (metrics_ != nullptr) metrics_->adds.Inc();
    if (!at->second.working) Push(at);
  }

  void Push(Keys::iterator at) {
    at->second.since = clock_.Now();
    queue_.push_back(at);
    if (metrics_ != nullptr) metrics_->depth.Set(static_cast<int64_t>(queue_.size()));
    StartWorkers();
  }

  void PutOff(const NamespacedName& name, Duration delay, bool retry) {
    const auto at = keys_.try_emplace(name).first;
    Key& key = at->second;
    if (retry && !std::exchange(key.retry, true)) ++retries_;
    const MonotonicTime moment = clock_.Now() + delay;
    if (key.later.has_value()) {
      if (*key.later <= moment) return;
      later_.erase({*key.later, name});
    }
    key.later = moment;
    later_.insert({moment, name});
    if (later_.begin()->second == name) ArmTimer();
  }

  void ArmTimer() {
    const MonotonicTime now = clock_.Now();
    const Duration delay = std::max(Duration::zero(), later_.begin()->first - now);
    timer_ = executor_.After(delay, [self = weak_from_this()] {
      if (const auto queue = self.lock()) queue->OnTimer();
    });
  }

  void OnTimer() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    const MonotonicTime now = clock_.Now();
    while (!later_.empty() && later_.begin()->first <= now) {
      const NamespacedName name = later_.begin()->second;
      later_.erase(later_.begin());
      Key& key = keys_[name];
      key.later.reset();
      if (std::exchange(key.retry, false)) --retries_;
      Enqueue(name);
    }
    if (!later_.empty()) ArmTimer();
  }

  // A piece of work in the executor per key to work on, as far as workers are free.
  void StartWorkers() {
    if (!started_ || stopped_) return;
    while (workers_ < options_.workers &&
           workers_ - static_cast<int>(working_) < static_cast<int>(queue_.size())) {
      ++workers_;
      executor_.Run([self = shared_from_this()] { self->Work(); });
    }
  }

  void Work();
  void Finish(Keys::iterator at, const ReconcileResult& result);

  const ControllerOptions options_;
  Executor& executor_;
  const Clock& clock_;
  const Controller::Reconcile reconcile_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  // Guarded by mutex_.
  std::unique_ptr<Metrics> metrics_;
  Keys keys_;
  std::deque<Keys::iterator> queue_;
  std::set<std::pair<MonotonicTime, NamespacedName>> later_;
  std::unique_ptr<Delayed> timer_;  // for the first of later_
  TokenBucket bucket_;
  size_t working_ = 0;  // reconciles under way
  size_t retries_ = 0;  // keys that are put off by a failure
  int workers_ = 0;     // pieces of work in the executor, waiting or under way
  bool started_ = false, stopped_ = false;
};

void Queue::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopped_ || queue_.empty()) {
    --workers_;
    return;
  }
  const auto at = queue_.front();
  queue_.pop_front();
  at->second.wanted = false;
  at->second.working = true;
  ++working_;
  const MonotonicTime begin = clock_.Now();
  if (metrics_ != nullptr) {
    metrics_->depth.Set(static_cast<int64_t>(queue_.size()));
    metrics_->waited.Record(Seconds(begin - at->second.since));
  }
  lock.unlock();
  const ReconcileResult result = reconcile_(at->first);
  if (!result.ok()) {
    LOG(kInfo, "controller", options_.name, ": ", at->first.ToString(), ": ",
        result.status().message);
  }
  lock.lock();
  if (metrics_ != nullptr) metrics_->worked.Record(Seconds(clock_.Now() - begin));
  --working_;
  --workers_;
  Finish(at, result);
  StartWorkers();
  if (stopped_ && working_ == 0) idle_.notify_all();
}

void Queue::Finish(Keys::iterator at, const ReconcileResult& result) {
  Key& key = at->second;
  key.working = false;
  if (stopped_) return;
  if (key.wanted) Push(at);  // added meanwhile
  if (!result.ok()) {
    const double doublings = std::min(key.failures++, 60);
    const double delay = std::min(Seconds(options_.backoff_max),
                                  Seconds(options_.backoff_min) * std::exp2(doublings));
    if (metrics_ != nullptr) {
      metrics_->errors.Inc();
      metrics_->retries.Inc();
    }
    PutOff(at->first,
           std::max(Duration(static_cast<int64_t>(delay * 1e9)), bucket_.Take(clock_.Now())), true);
  } else {
    key.failures = 0;
    if (result->after.has_value()) {
      *result->after <= Duration::zero() ? Enqueue(at->first)
                                         : PutOff(at->first, *result->after, false);
    }
  }
  if (!key.wanted && !key.later.has_value() && key.failures == 0) keys_.erase(at);
}

class QueueController final : public Controller {
 public:
  explicit QueueController(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  ~QueueController() override { queue_->Stop(); }

  void Start() override { queue_->Start(); }
  void Add(const NamespacedName& key) override { queue_->Add(key); }
  void AddAfter(const NamespacedName& key, Duration delay) override {
    queue_->AddAfter(key, delay);
  }
  int failures(const NamespacedName& key) const override { return queue_->failures(key); }
  size_t busy() const override { return queue_->busy(); }

 private:
  const std::shared_ptr<Queue> queue_;
};

}  // namespace

std::unique_ptr<Controller> NewController(const ControllerOptions& options, Executor& executor,
                                          metrics::Registry* metrics,
                                          Controller::Reconcile reconcile) {
  return std::make_unique<QueueController>(
      std::make_shared<Queue>(options, executor, metrics, std::move(reconcile)));
}

}  // namespace meltemi::kube
