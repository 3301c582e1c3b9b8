// Tells API servers which root pilot's webhooks are verified against: writes it as `caBundle` into
// the webhook configurations that are labelled as ours. Run by the leader alone; converges again
// after whatever others do to them.
//
// Threads: the executor's. Source: Istio's webhook patcher.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kube {
class Client;
class Executor;
}  // namespace meltemi::kube

namespace meltemi::pilot {

inline constexpr absl::string_view kWebhookLabel = "app";
inline constexpr absl::string_view kWebhookLabelValue = "meltemi-pilot";

// Ends when destroyed.
class WebhookBundles {
 public:
  virtual ~WebhookBundles() = default;
};

std::unique_ptr<WebhookBundles> StartWebhookBundles(kube::Client& client, kube::Executor& executor,
                                                    std::string roots_pem);

}  // namespace meltemi::pilot
