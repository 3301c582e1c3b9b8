#include "proxy/config/secrets/files.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::proxy {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;
// Writers touch several files, or one several times.
constexpr Duration kSettleTime = milliseconds(20);
constexpr Duration kMissingFolderInterval = seconds(2);
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF |
                             IN_MOVE_SELF | IN_ONLYDIR;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const auto failed = [&] {
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed();
  std::string text;
  char piece[16 * 1024];
  ssize_t got;
  while ((got = read(fd, piece, sizeof(piece))) > 0) {
    text.append(piece, static_cast<size_t>(got));
    if (text.size() > kFileBytesMax) break;
  }
  const absl::Status status = got < 0 ? failed() : absl::OkStatus();
  close(fd);
  if (!status.ok()) return status;
  if (text.size() > kFileBytesMax) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": larger than ", kFileBytesMax, " bytes"));
  }
  return text;
}

class FileWatcher::Handle final : public FileWatch {
 public:
  Handle(FileWatcher& watcher, std::string folder, absl::AnyInvocable<void()> changed)
      : changed(std::move(changed)), watcher_(watcher), folder_(std::move(folder)) {
    watcher_.folders_[folder_].handles.insert(this);
  }
  ~Handle() override {
    auto at = watcher_.folders_.find(folder_);
    at->second.handles.erase(this);
    if (!at->second.handles.empty()) return;
    if (at->second.watch >= 0) inotify_rm_watch(watcher_.inotify_, at->second.watch);
    watcher_.folders_.erase(at);
  }

  absl::AnyInvocable<void()> changed;

 private:
  FileWatcher& watcher_;
  const std::string folder_;
};

FileWatcher::FileWatcher(Loop& loop)
    : loop_(loop),
      inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      timer_(loop.NewTimer([this] { OnTimer(); })) {
  if (inotify_ < 0) {
    // Folders are looked at now and then instead, as if they were not there.
    LOG(kWarn, "secrets", "files can't be watched: ", std::strerror(errno));
    return;
  }
  events_ =
      loop_.WatchFd(inotify_, FdTrigger::kLevel, kFdReadable, [this](uint8_t) { OnEvents(); });
}

FileWatcher::~FileWatcher() {
  DCHECK(folders_.empty());
  events_.reset();
  if (inotify_ >= 0) close(inotify_);
}

std::unique_ptr<FileWatch> FileWatcher::Watch(const std::string& path,
                                              absl::AnyInvocable<void()> changed) {
  const std::string folder = FolderOf(path);
  auto handle = std::make_unique<Handle>(*this, folder, std::move(changed));
  Folder& watched = folders_[folder];
  if (watched.watch < 0) Begin(folder, &watched);
  return handle;
}

void FileWatcher::Begin(const std::string& path, Folder* folder) {
  if (inotify_ >= 0) folder->watch = inotify_add_watch(inotify_, path.c_str(), kEvents);
  if (folder->watch < 0 && !timer_->armed()) timer_->Arm(kMissingFolderInterval);
}

void FileWatcher::OnEvents() {
  alignas(inotify_event) char bytes[16 * 1024];
  const ssize_t got = read(inotify_, bytes, sizeof(bytes));
  for (ssize_t at = 0; at < got;) {
    const auto* const event = reinterpret_cast<const inotify_event*>(bytes + at);
    at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    const bool lost = (event->mask & IN_Q_OVERFLOW) != 0;
    for (auto& [path, folder] : folders_) {
      if (folder.watch != event->wd && !lost) continue;
      folder.changed = true;
      if ((event->mask & (IN_IGNORED | IN_MOVE_SELF)) != 0) folder.watch = -1;
    }
  }
  timer_->Arm(kSettleTime);
}

void FileWatcher::OnTimer() {
  std::vector<Handle*> told;
  bool missing = false;
  for (auto& [path, folder] : folders_) {
    if (folder.watch < 0) {
      Begin(path, &folder);
      // What may have happened meanwhile.
      folder.changed = folder.changed || folder.watch >= 0 || inotify_ < 0;
    }
    missing = missing || folder.watch < 0;
    if (std::exchange(folder.changed, false)) {
      told.insert(told.end(), folder.handles.begin(), folder.handles.end());
    }
  }
  if (missing) timer_->Arm(kMissingFolderInterval);
  for (Handle* handle : told) {
    bool alive = false;
    for (const auto& [path, folder] : folders_) alive = alive || folder.handles.contains(handle);
    if (alive) handle->changed();
  }
}

}  // namespace meltemi::proxy
