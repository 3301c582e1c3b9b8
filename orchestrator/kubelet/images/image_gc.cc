#include "orchestrator/kubelet/images/image_gc.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "base/log/log.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/image.pb.h"
#include "orchestrator/kubelet/images/image_name.h"

namespace meltemi::kubelet {
namespace {

std::string Full(const std::string& name) {
  const std::optional<ImageName> parsed = ParseImageName(name);
  return parsed ? parsed->full() : name;
}

ImagesOptions::Space SpaceOf(const std::string& path) {
  struct statvfs fs {};
  if (statvfs(path.c_str(), &fs) != 0) return {};
  return {.capacity_bytes = fs.f_blocks * fs.f_frsize,
          .available_bytes = fs.f_bavail * fs.f_frsize};
}

}  // namespace

bool ImageGc::Look() {
  const auto images = runtime_.ListImages();
  const auto containers = runtime_.ListContainers("");
  if (!images.ok() || !containers.ok()) {
    LOG(kWarn, "images", "no images are collected: ",
        (images.ok() ? containers.status() : images.status()).message());
    return false;
  }
  std::set<std::string> used;
  for (const cri::Container& container : *containers) {
    used.insert({container.image_ref(), container.image_id(), container.image().image(),
                 Full(container.image().image())});
  }
  for (const std::string& name : options_.keep) used.insert({name, Full(name)});
  const MonotonicTime now = clock_.Now();
  std::map<std::string, Seen> seen;
  for (const cri::Image& image : *images) {
    const auto before = seen_.find(image.id());
    Seen& one = seen[image.id()];
    one = before == seen_.end() ? Seen{.first = now, .last_used = now} : before->second;
    const auto is_used = [&](const std::string& name) { return used.count(name) != 0; };
    one.used = is_used(image.id()) ||
               std::any_of(image.repo_tags().begin(), image.repo_tags().end(), is_used) ||
               std::any_of(image.repo_digests().begin(), image.repo_digests().end(), is_used);
    one.bytes = image.size();
    one.pinned = image.pinned();
    if (one.used) one.last_used = now;
  }
  seen_ = std::move(seen);
  return true;
}

uint64_t ImageGc::Collect() {
  if (!Look()) return 0;
  const auto filesystems = runtime_.ImageFsInfo();
  if (!filesystems.ok() || filesystems->empty()) return 0;
  const std::string& path = filesystems->front().fs_id().mountpoint();
  const ImagesOptions::Space space = options_.space ? options_.space(path) : SpaceOf(path);
  if (space.capacity_bytes == 0) return 0;
  const auto percent = [&](int p) {
    return space.capacity_bytes / 100 * static_cast<uint64_t>(std::clamp(p, 0, 100));
  };
  const uint64_t used =
      space.capacity_bytes - std::min(space.capacity_bytes, space.available_bytes);
  if (used < percent(options_.gc_high_percent)) return 0;
  const uint64_t wanted = used - std::min(used, percent(options_.gc_low_percent));
  const uint64_t freed = Free(wanted);
  LOG(kInfo, "images", "the images' file system is filled to ", used * 100 / space.capacity_bytes,
      " %: ", freed, " of ", wanted, " bytes were freed");
  return freed;
}

uint64_t ImageGc::Free(uint64_t wanted) {
  const MonotonicTime now = clock_.Now();
  std::vector<std::pair<MonotonicTime, std::string>> candidates;
  for (const auto& [id, image] : seen_) {
    if (image.used || image.pinned || now - image.first < options_.gc_age_min) continue;
    candidates.emplace_back(image.last_used, id);
  }
  std::sort(candidates.begin(), candidates.end());
  uint64_t freed = 0;
  for (const auto& [last_used, id] : candidates) {
    if (freed >= wanted) break;
    const absl::Status status = runtime_.RemoveImage(id);
    if (!status.ok()) {
      LOG(kWarn, "images", "image ", id, " is not removed: ", status.message());
      continue;
    }
    freed += seen_[id].bytes;
    seen_.erase(id);
  }
  return freed;
}

}  // namespace meltemi::kubelet
