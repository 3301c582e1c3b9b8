#include "orchestrator/apiserver/usage/kubelets.h"

#include <deque>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::apiserver {
namespace {

std::string Authority(const KubeletAddress& kubelet) {
  const bool v6 = absl::StrContains(kubelet.host, ':');
  return absl::StrCat(v6 ? "[" : "", kubelet.host, v6 ? "]" : "", ":", kubelet.port);
}

absl::StatusOr<NodeUsage> Read(const absl::StatusOr<HttpsResponse>& answer) {
  if (!answer.ok()) return answer.status();
  if (answer->code != 200) {
    return absl::UnavailableError(
        absl::StrCat("HTTP status ", answer->code, ": ", answer->body.substr(0, 200)));
  }
  return ParseSummary(answer->body);
}

}  // namespace

std::map<std::string, std::shared_ptr<const NodeUsage>> Kubelets::Ask(
    const std::vector<KubeletAddress>& kubelets) {
  AskAll(Claim(kubelets));
  std::map<std::string, std::shared_ptr<const NodeUsage>> out;
  std::unique_lock<std::mutex> lock(mutex_);
  for (const KubeletAddress& kubelet : kubelets) {
    // Who asks at the moment ends by the time-out of the call.
    changed_.wait(lock, [&] {
      const auto at = entries_.find(kubelet.node);
      return at == entries_.end() || !at->second.asking;
    });
    const auto at = entries_.find(kubelet.node);
    if (at != entries_.end() && at->second.usage != nullptr) out[kubelet.node] = at->second.usage;
  }
  return out;
}

std::vector<KubeletAddress> Kubelets::Claim(const std::vector<KubeletAddress>& kubelets) {
  std::vector<KubeletAddress> out;
  const std::lock_guard<std::mutex> lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (entries_.size() + kubelets.size() > options_.nodes_max) MakeRoom();
  for (const KubeletAddress& kubelet : kubelets) {
    Entry& entry = entries_[kubelet.node];
    if (entry.asking || entry.until > now) continue;
    entry.asking = true;
    out.push_back(kubelet);
  }
  return out;
}

// What is out of date, of nodes that may be gone.
void Kubelets::MakeRoom() {
  const MonotonicTime now = clock_.Now();
  for (auto at = entries_.begin(); at != entries_.end();) {
    at = at->second.asking || at->second.until > now ? std::next(at) : entries_.erase(at);
  }
}

void Kubelets::AskAll(const std::vector<KubeletAddress>& kubelets) {
  std::deque<std::pair<KubeletAddress, std::shared_ptr<HttpsCall>>> under_way;
  const auto finish_one = [&] {
    Keep(under_way.front().first, under_way.front().second->Wait());
    under_way.pop_front();
  };
  for (const KubeletAddress& kubelet : kubelets) {
    if (under_way.size() >= options_.calls_max) finish_one();
    HttpsRequest request;
    request.method = "GET";
    request.host = kubelet.host;
    request.port = kubelet.port;
    request.authority = Authority(kubelet);
    request.path = "/stats/summary";
    request.timeout = options_.timeout;
    under_way.emplace_back(kubelet, client_.Start(std::move(request)));
  }
  while (!under_way.empty()) finish_one();
}

void Kubelets::Keep(const KubeletAddress& kubelet, const absl::StatusOr<HttpsResponse>& answer) {
  absl::StatusOr<NodeUsage> usage = Read(answer);
  if (!usage.ok()) {
    LOG(kInfo, "usage", "node ", kubelet.node, " gives no statistics: ", usage.status().message());
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = entries_[kubelet.node];
  entry.usage = usage.ok() ? std::make_shared<const NodeUsage>(*std::move(usage)) : nullptr;
  entry.until = clock_.Now() + options_.fresh_for;
  entry.asking = false;
  changed_.notify_all();
}

}  // namespace meltemi::apiserver
