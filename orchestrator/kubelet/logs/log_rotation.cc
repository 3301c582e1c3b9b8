#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "cri/runtime/v1/container.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/logs/logs.h"

namespace meltemi::kubelet {
namespace {

constexpr char kCompressed[] = ".gz", kUnfinished[] = ".tmp";

absl::Status Failed(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
}

// The rotated files of a log, the oldest first (their names end in a time stamp).
std::vector<std::string> Rotated(const std::string& path) {
  std::vector<std::string> out;
  const size_t slash = path.rfind('/');
  const std::string folder = path.substr(0, slash + 1);
  const std::string prefix = absl::StrCat(path.substr(slash + 1), ".");
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    const absl::string_view name = entry->d_name;
    if (absl::StartsWith(name, prefix)) out.push_back(absl::StrCat(folder, name));
  }
  closedir(dir);
  std::sort(out.begin(), out.end());
  return out;
}

// Beside it, and in its place once it is whole: so one that died in between does no harm.
absl::Status Compress(const std::string& path) {
  const std::string unfinished = path + kUnfinished;
  const int in = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (in < 0) return Failed("open", path);
  const gzFile out = gzopen(unfinished.c_str(), "wbe");
  if (out == nullptr) {
    close(in);
    return Failed("create", unfinished);
  }
  bool fine = true;
  std::string piece(64 * 1024, '\0');
  for (;;) {
    const ssize_t got = read(in, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fine = false;
    if (got <= 0) break;
    if (gzwrite(out, piece.data(), static_cast<unsigned>(got)) != got) {
      fine = false;
      break;
    }
  }
  close(in);
  if (gzclose(out) != Z_OK) fine = false;
  const std::string compressed = path + kCompressed;
  if (!fine || rename(unfinished.c_str(), compressed.c_str()) != 0) {
    const absl::Status failed = Failed("compress", path);
    unlink(unfinished.c_str());
    return failed;
  }
  if (unlink(path.c_str()) != 0) return Failed("remove", path);
  return absl::OkStatus();
}

// Removes what an earlier compression left; gives the files that count.
std::vector<std::string> RemoveLeftovers(const std::vector<std::string>& files) {
  const std::set<std::string> all(files.begin(), files.end());
  std::vector<std::string> out;
  for (const std::string& file : files) {
    if (absl::EndsWith(file, kUnfinished) || all.count(file + kCompressed) > 0) {
      unlink(file.c_str());
    } else {
      out.push_back(file);
    }
  }
  return out;
}

std::string TimeStamp(WallTime now) {
  const time_t unix_s =
      static_cast<time_t>(std::chrono::duration_cast<seconds>(now.time_since_epoch()).count());
  tm parts{};
  gmtime_r(&unix_s, &parts);
  char text[32];
  const size_t size = strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return std::string(text, size);
}

class TimedRotation final : public LogRotation {
 public:
  TimedRotation(const RotationOptions& options, Runtime& runtime, kube::Executor& executor)
      : options_(options),
        runtime_(runtime),
        executor_(executor),
        controller_(kube::NewController(QueueOptions(), executor, nullptr,
                                        [this](const kube::NamespacedName&) {
                                          LookAtAll();
                                          return kube::Again(options_.period);
                                        })) {
    controller_->AddAfter({"", "logs"}, options.period);
    controller_->Start();
  }
  ~TimedRotation() override { controller_.reset(); }

 private:
  static kube::ControllerOptions QueueOptions() {
    kube::ControllerOptions out;
    out.name = "log-rotation";
    out.workers = 1;
    return out;
  }

  void LookAtAll();
  // "": it has none, or it is not known.
  std::string PathOf(const std::string& id);
  absl::Status Look(const std::string& id, const std::string& path);
  absl::Status Rotate(const std::string& id, const std::string& path);

  const RotationOptions options_;
  Runtime& runtime_;
  kube::Executor& executor_;
  std::map<std::string, std::string> paths_;  // by container id; the one key's
  std::unique_ptr<kube::Controller> controller_;
};

void TimedRotation::LookAtAll() {
  const absl::StatusOr<std::vector<cri::Container>> containers = runtime_.ListContainers("");
  if (!containers.ok()) return;
  std::set<std::string> running;
  for (const cri::Container& container : *containers) {
    if (container.state() == cri::CONTAINER_RUNNING) running.insert(container.id());
  }
  for (auto it = paths_.begin(); it != paths_.end();) {
    it = running.count(it->first) == 0 ? paths_.erase(it) : std::next(it);
  }
  for (const std::string& id : running) {
    const std::string path = PathOf(id);
    if (path.empty()) continue;
    if (const absl::Status done = Look(id, path); !done.ok()) {
      LOG(kWarn, "logs", "rotation of ", path, " failed: ", done.message());
    }
  }
}

std::string TimedRotation::PathOf(const std::string& id) {
  if (const auto it = paths_.find(id); it != paths_.end()) return it->second;
  const absl::StatusOr<cri::ContainerStatus> status = runtime_.ContainerStatus(id);
  if (!status.ok()) return "";
  return paths_[id] = status->log_path();
}

absl::Status TimedRotation::Look(const std::string& id, const std::string& path) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) {
    if (errno != ENOENT) return Failed("stat", path);
    // A rotation that died after renaming, or somebody has removed it.
    return runtime_.ReopenContainerLog(id);
  }
  if (found.st_size < options_.size_max) return absl::OkStatus();
  return Rotate(id, path);
}

absl::Status TimedRotation::Rotate(const std::string& id, const std::string& path) {
  std::vector<std::string> files = RemoveLeftovers(Rotated(path));
  // Beside the current one and the one that is made now.
  const size_t kept = static_cast<size_t>(std::max(0, options_.files_max - 2));
  while (files.size() > kept) {
    if (unlink(files.front().c_str()) != 0) return Failed("remove", files.front());
    files.erase(files.begin());
  }
  for (const std::string& file : files) {
    if (absl::EndsWith(file, kCompressed)) continue;
    if (absl::Status done = Compress(file); !done.ok()) return done;
  }
  const std::string rotated = absl::StrCat(path, ".", TimeStamp(executor_.clock().WallNow()));
  if (rename(path.c_str(), rotated.c_str()) != 0) return Failed("rename", path);
  if (absl::Status reopened = runtime_.ReopenContainerLog(id); !reopened.ok()) {
    (void)rename(rotated.c_str(), path.c_str());
    return reopened;
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<LogRotation> NewLogRotation(const RotationOptions& options, Runtime& runtime,
                                            kube::Executor& executor) {
  return std::make_unique<TimedRotation>(options, runtime, executor);
}

}  // namespace meltemi::kubelet
