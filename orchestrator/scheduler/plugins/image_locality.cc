// ImageLocality: prefers nodes that have the pod's images already, large ones above all, and less
// so where few nodes have them (lest all pods of a new image crowd on one).
#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

constexpr int64_t kMebibyte = 1024 * 1024;
constexpr int64_t kLeastBytes = 23 * kMebibyte;
constexpr int64_t kMostBytesPerContainer = 1000 * kMebibyte;

// As nodes report it: with ":latest" where there is no tag.
std::string Tagged(const std::string& image) {
  const size_t colon = image.rfind(':');
  const size_t slash = image.rfind('/');
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return tagged ? image : absl::StrCat(image, ":latest");
}

class State final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<State>(*this); }

  std::vector<std::pair<std::string, double>> images;  // with the share of nodes that have it
  int64_t containers = 0;
};

class ImageLocality final : public Plugin {
 public:
  ImageLocality() { scores = true; }
  absl::string_view name() const override { return "ImageLocality"; }

  // Where no node has any of the images, all would get 0.
  Verdict PreScore(const PodInfo& pod, const Snapshot& snapshot,
                   const std::vector<const NodeInfo*>& feasible,
                   std::unique_ptr<PluginState>* state) const override {
    auto made = std::make_unique<State>();
    const double nodes = static_cast<double>(snapshot.nodes().size());
    const auto read = [&](const auto& containers) {
      for (const kube::core::v1::Container& container : containers) {
        ++made->containers;
        std::string image = Tagged(container.image());
        const int having = snapshot.NodesWithImage(image);
        if (having > 0) made->images.emplace_back(std::move(image), having / nodes);
      }
    };
    read(pod.pod->spec().init_containers());
    read(pod.pod->spec().containers());
    if (made->images.empty()) return Verdict::Skip();
    *state = std::move(made);
    return Verdict::Ok();
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    const auto& cycle = *static_cast<const State*>(state);
    int64_t sum = 0;
    for (const auto& [image, share] : cycle.images) {
      const auto found = node.facts->image_bytes.find(image);
      if (found == node.facts->image_bytes.end()) continue;
      sum += static_cast<int64_t>(static_cast<double>(found->second) * share);
    }
    const int64_t most = kMostBytesPerContainer * cycle.containers;
    return kScoreMax * (std::clamp(sum, kLeastBytes, most) - kLeastBytes) / (most - kLeastBytes);
  }
};

}  // namespace

std::unique_ptr<Plugin> NewImageLocality() { return std::make_unique<ImageLocality>(); }

}  // namespace meltemi::scheduler
