#include "pilot/app/kubernetes.h"

#include <utility>

#include "base/log/log.h"
#include "kube/client/http_client.h"

namespace meltemi::pilot {

absl::StatusOr<std::unique_ptr<Kubernetes>> Kubernetes::Connect(Loop& loop, const Clock& clock,
                                                                KubernetesOptions options) {
  auto client = kube::NewHttpClient(options.access, clock, {.user_agent = "meltemi-pilot"});
  if (!client.ok()) return client.status();
  std::unique_ptr<Kubernetes> out(new Kubernetes(loop, std::move(options)));
  out->client_ = *std::move(client);
  out->executor_ = kube::NewThreadExecutor(clock);
  LOG(kInfo, "kube", "configuration comes from ", out->options_.access.server);
  return out;
}

Kubernetes::~Kubernetes() {
  leadership_ = nullptr;
  conditions_ = nullptr;
  source_ = nullptr;
  executor_ = nullptr;
}

KubeSource& Kubernetes::Read(KubeValidator validator, ConfigSource::OnChange on_change) {
  source_ = NewKubeSource(loop_, *client_, *executor_, options_.source, std::move(validator),
                          std::move(on_change));
  // It gives no error: what can't be reached is tried until it can.
  const absl::Status started = source_->Start();
  CHECK(started.ok());
  return *source_;
}

void Kubernetes::StartWriting(ProgrammedSource& programmed, std::function<void(bool)> on_leading) {
  conditions_ = NewConditions(loop_, *client_, *executor_, programmed, *source_);
  leadership_ = StartLeadership(loop_, *client_, *executor_,
                                {.ns = options_.root_namespace, .identity = options_.identity},
                                [this, on_leading = std::move(on_leading)](bool leading) {
                                  conditions_->SetLeading(leading);
                                  if (on_leading) on_leading(leading);
                                });
}

}  // namespace meltemi::pilot
