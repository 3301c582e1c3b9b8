#include "pilot/leader/leadership.h"

#include <utility>

#include "base/log/log.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/leader/leader.h"

namespace meltemi::pilot {
namespace {

class LeadershipImpl final : public Leadership,
                             public std::enable_shared_from_this<LeadershipImpl> {
 public:
  LeadershipImpl(Loop& loop, kube::Client& client, kube::Executor& executor,
                 LeadershipOptions options, std::function<void(bool)> on_change)
      : loop_(loop),
        client_(client),
        executor_(executor),
        options_(std::move(options)),
        on_change_(std::move(on_change)),
        again_(loop.NewTimer([this] { Run(); })) {}

  bool leading() const override { return leading_; }

  // Takes part.
  void Run() {
    ++race_;
    election_ = kube::StartLeaderElection(
        client_, executor_,
        {.ns = options_.ns,
         .lease = options_.lease,
         .identity = options_.identity,
         .lease_duration = options_.lease_duration,
         .renew_deadline = options_.renew_deadline,
         .retry_period = options_.retry_period},
        [told = Told(true)] { told(); }, [told = Told(false)] { told(); });
  }

 private:
  // The callback of this race, on the executor's threads.
  std::function<void()> Told(bool leading) {
    return [&loop = loop_, weak = weak_from_this(), race = race_, leading] {
      loop.Post([weak, race, leading] {
        if (const auto self = weak.lock()) self->OnTold(race, leading);
      });
    };
  }

  void OnTold(int race, bool leading) {
    if (race != race_ || leading == leading_) return;
    leading_ = leading;
    if (leading) {
      LOG(kInfo, "leader", options_.identity, " leads (lease ", options_.ns, "/", options_.lease,
          ")");
    } else {
      LOG(kWarn, "leader", options_.identity, " no longer leads");
      election_ = nullptr;
      again_->Arm(options_.retry_period);
    }
    on_change_(leading);
  }

  Loop& loop_;
  kube::Client& client_;
  kube::Executor& executor_;
  const LeadershipOptions options_;
  const std::function<void(bool)> on_change_;
  const std::unique_ptr<Timer> again_;
  int race_ = 0;
  bool leading_ = false;
  std::unique_ptr<kube::LeaderElection> election_;
};

class Handle final : public Leadership {
 public:
  explicit Handle(std::shared_ptr<LeadershipImpl> impl) : impl_(std::move(impl)) {}
  bool leading() const override { return impl_->leading(); }

 private:
  const std::shared_ptr<LeadershipImpl> impl_;
};

}  // namespace

std::unique_ptr<Leadership> StartLeadership(Loop& loop, kube::Client& client,
                                            kube::Executor& executor, LeadershipOptions options,
                                            std::function<void(bool leading)> on_change) {
  auto impl = std::make_shared<LeadershipImpl>(loop, client, executor, std::move(options),
                                               std::move(on_change));
  impl->Run();
  return std::make_unique<Handle>(std::move(impl));
}

}  // namespace meltemi::pilot
