#include "orchestrator/kubelet/probes/hooks.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/probes/handlers.h"
#include "orchestrator/kubelet/probes/network_prober.h"
#include "orchestrator/kubelet/probes/probe_url.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Container;
using kube::core::v1::LifecycleHandler;
using kube::core::v1::Pod;
using Done = std::function<void(absl::Status)>;

constexpr char kAgent[] = "kube-lifecycle/1.32";
// Of a hook without a bound of its own: a server that never answers does not hold it for ever.
constexpr Duration kHttpTimeoutMax = minutes(60);

// What the ends of calls are told to, which may come after the hooks are gone.
class Pending {
 public:
  explicit Pending(kube::Executor& executor) : executor_(executor) {}

  uint64_t Add(Done done) {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_[++next_].done = std::move(done);
    return next_;
  }
  // Tells it on the executor.
  void End(uint64_t number, absl::Status status) {
    Done done;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto it = waiting_.find(number);
      if (it == waiting_.end()) return;
      done = std::move(it->second.done);
      waiting_.erase(it);
      executor_.Run([done = std::move(done), status = std::move(status)] { done(status); });
    }
  }
  void Keep(uint64_t number, std::unique_ptr<kube::Delayed> delayed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto it = waiting_.find(number);
    if (it != waiting_.end()) it->second.delayed = std::move(delayed);
  }
  void Clear() {
    std::map<uint64_t, Waiting> dropped;
    const std::lock_guard<std::mutex> lock(mutex_);
    dropped.swap(waiting_);
  }

 private:
  struct Waiting {
    Done done;
    std::unique_ptr<kube::Delayed> delayed;
  };
  kube::Executor& executor_;
  std::mutex mutex_;
  uint64_t next_ = 0;                    // guarded by mutex_
  std::map<uint64_t, Waiting> waiting_;  // guarded by mutex_
};

// "Exec lifecycle hook ([sh -c x]) for Container "c" in Pod "p_ns(uid)" failed - error: …".
absl::Status Failed(absl::string_view what, const Container& container, const Pod& pod,
                    absl::string_view why) {
  return absl::UnknownError(absl::StrCat(what, " for Container \"", container.name(),
                                         "\" in Pod \"", PodForLog(pod),
                                         "\" failed - error: ", why));
}

class LifecycleHooks final : public Hooks {
 public:
  LifecycleHooks(Runtime& runtime, NetworkProber& network, kube::Executor& executor,
                 kube::EventRecorder& recorder)
      : runtime_(runtime),
        network_(network),
        executor_(executor),
        recorder_(recorder),
        pending_(std::make_shared<Pending>(executor)) {}
  ~LifecycleHooks() override { pending_->Clear(); }

  void Run(const std::shared_ptr<const Pod>& pod, const Container& container,
           const std::string& container_id, const std::string& pod_ip,
           const LifecycleHandler& handler, Duration timeout, Done done) override {
    const uint64_t number = pending_->Add(std::move(done));
    if (handler.has_exec()) {
      Exec(number, pod, container, container_id, handler, timeout);
    } else if (handler.has_http_get()) {
      Http(number, pod, container, pod_ip, handler, timeout);
    } else if (handler.has_sleep()) {
      Sleep(number, pod, container, handler.sleep().seconds(), timeout);
    } else {
      pending_->End(number, absl::InvalidArgumentError("Cannot run handler: invalid handler"));
    }
  }

 private:
  void Exec(uint64_t number, const std::shared_ptr<const Pod>& pod, const Container& container,
            const std::string& container_id, const LifecycleHandler& handler, Duration timeout) {
    const std::vector<std::string> command(handler.exec().command().begin(),
                                           handler.exec().command().end());
    runtime_.ExecSync(container_id, command, timeout,
                      [pending = pending_, number, pod, container, command,
                       timeout](absl::StatusOr<ExecResult> result) {
                        absl::Status status = ExecStatus(command, timeout, result);
                        if (!status.ok()) {
                          status = Failed(absl::StrCat("Exec lifecycle hook ([",
                                                       absl::StrJoin(command, " "), "])"),
                                          container, *pod, status.message());
                        }
                        pending->End(number, std::move(status));
                      });
  }

  void Http(uint64_t number, const std::shared_ptr<const Pod>& pod, const Container& container,
            const std::string& pod_ip, const LifecycleHandler& handler, Duration timeout) {
    const std::string what = absl::StrCat("HTTP lifecycle hook (", handler.http_get().path(), ")");
    if (timeout <= Duration::zero()) timeout = kHttpTimeoutMax;
    const auto probe = MakeHttpProbe(handler.http_get(), container, pod_ip, kAgent, timeout);
    if (!probe.ok()) {
      return pending_->End(number, Failed(what, container, *pod, probe.status().message()));
    }
    const auto end = [pending = pending_, number, what, pod,
                      container](const ProbeVerdict& verdict) {
      pending->End(number, verdict.http_status != 0
                               ? absl::OkStatus()
                               : Failed(what, container, *pod, verdict.output));
    };
    // What outlives the hooks alone is used in callbacks.
    const auto fall_back = [&network = network_, &recorder = recorder_, end, pod,
                            probe = *probe](ProbeVerdict verdict) {
      if (!absl::StrContains(verdict.output, "server gave HTTP response to HTTPS client")) {
        return end(verdict);
      }
      HttpProbe plain = probe;
      plain.https = false;
      network.Http(plain, [&recorder, end, pod, plain](ProbeVerdict second) {
        if (second.http_status != 0) {
          recorder.Record(
              *pod, kube::kWarning, "LifecycleHTTPFallback",
              absl::StrCat("request to HTTPS lifecycle hook ", HostPort(plain.host, plain.port),
                           " got HTTP response, retry with HTTP succeeded"));
        }
        end(second);
      });
    };
    network_.Http(*probe, fall_back);
  }

  void Sleep(uint64_t number, const std::shared_ptr<const Pod>& pod, const Container& container,
             int64_t sleep_s, Duration timeout) {
    const Duration wanted = seconds(std::clamp<int64_t>(sleep_s, 0, 1'000'000'000));
    const bool cut = timeout > Duration::zero() && timeout < wanted;
    absl::Status status;
    if (cut) {
      status = Failed(absl::StrCat("Sleep lifecycle hook (", sleep_s, ")"), container, *pod,
                      "container terminated before sleep hook finished");
    }
    pending_->Keep(number,
                   executor_.After(cut ? timeout : wanted, [pending = pending_, number, status] {
                     pending->End(number, status);
                   }));
  }

  Runtime& runtime_;
  NetworkProber& network_;
  kube::Executor& executor_;
  kube::EventRecorder& recorder_;
  const std::shared_ptr<Pending> pending_;
};

}  // namespace

std::unique_ptr<Hooks> NewHooks(Runtime& runtime, NetworkProber& network, kube::Executor& executor,
                                kube::EventRecorder& recorder) {
  return std::make_unique<LifecycleHooks>(runtime, network, executor, recorder);
}

}  // namespace meltemi::kubelet
