#include "orchestrator/kubelet/stats/rates.h"

namespace meltemi::kubelet {
namespace {

constexpr Duration kWindow = seconds(30);
// Closer together than this, the grain of the counters shows.
constexpr Duration kApartMin = seconds(1);
constexpr size_t kPointsMax = 64;

}  // namespace

std::optional<int64_t> Rates::Observe(const std::string& key, int64_t total, WallTime now,
                                      std::optional<WallTime> since) {
  std::deque<Point>& points = points_[key];
  // A counter that went back belongs to another one of the same name.
  if (!points.empty() && (points.back().total > total || points.back().time > now)) points.clear();
  // The oldest of the window is what it is compared with; an older one where there is none.
  while (points.size() > 1 && (now - points[1].time >= kWindow || points.size() >= kPointsMax)) {
    points.pop_front();
  }
  std::optional<Point> base;
  if (!points.empty() && now - points.front().time >= kApartMin) {
    base = points.front();
  } else if (since.has_value() && now - *since >= milliseconds(100)) {
    base = Point{*since, 0};
  }
  if (points.empty() || now - points.back().time >= kApartMin) points.push_back({now, total});
  if (!base.has_value()) return std::nullopt;
  const double elapsed_s = std::chrono::duration<double>(now - base->time).count();
  return static_cast<int64_t>(static_cast<double>(total - base->total) / elapsed_s);
}

void Rates::ForgetBut(WallTime now) {
  for (auto it = points_.begin(); it != points_.end();) {
    const bool stale = it->second.empty() || now - it->second.back().time >= kApartMin;
    it = stale ? points_.erase(it) : std::next(it);
  }
}

}  // namespace meltemi::kubelet
