#include "pilot/ingest/file/file_source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/loop/loop.h"

namespace meltemi::pilot {
namespace {

// Tells one state of a file from the next.
struct Stamp {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t seconds = 0;
  int64_t nanos = 0;

  bool operator==(const Stamp& other) const {
    return std::tie(device, inode, size, seconds, nanos) ==
           std::tie(other.device, other.inode, other.size, other.seconds, other.nanos);
  }
};

Stamp StampOf(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = info.st_size,
          .seconds = info.st_mtim.tv_sec,
          .nanos = info.st_mtim.tv_nsec};
}

std::string ErrnoText() { return std::strerror(errno); }

bool IsManifestName(absl::string_view name) {
  return !absl::StartsWith(name, ".") &&
         (absl::EndsWith(name, ".yaml") || absl::EndsWith(name, ".yml") ||
          absl::EndsWith(name, ".json"));
}

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

class FileSource final : public ConfigSource {
 public:
  FileSource(Loop& loop, FileSourceOptions options, FileStore::Validator validator,
             OnChange on_change)
      : loop_(loop),
        options_(std::move(options)),
        on_change_(std::move(on_change)),
        store_(options_.decode, std::move(validator)),
        inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
        settle_timer_(loop.NewTimer([this] { Settle(); })),
        poll_timer_(loop.NewTimer([this] { Poll(); })) {}

  absl::Status Start() override;
  void Refresh() override {
    all_dirty_ = true;
    settle_timer_->Disarm();
    Settle();
  }
  std::vector<ObjectPtr> Objects() const override { return store_.Objects(); }
  std::vector<Diagnostic> Diagnostics() const override { return store_.Diagnostics(); }

 private:
  // A folder that is watched, and which of its files count; all manifests when `names` is empty.
  struct Folder {
    bool whole = false;
    std::set<std::string> names;
  };

  absl::Status AddPath(const std::string& path);
  void Watch(const std::string& folder);
  void OnInotify();
  void OnEvent(const std::string& folder, uint32_t mask, const std::string& name);
  bool Counts(const Folder& folder, const std::string& name) const;
  void MarkDirty(const std::string& path);
  void MarkAllDirty();
  void Settle();
  void Poll();
  // The files that now exist; nothing for a folder that cannot be listed.
  absl::StatusOr<std::set<std::string>> List(const std::string& path, const Folder& folder) const;
  void Read(const std::string& path, Changes* changes);
  absl::StatusOr<std::string> ReadText(const std::string& path, Stamp* stamp) const;
  void Tell(const Changes& changes);

  Loop& loop_;
  const FileSourceOptions options_;
  OnChange on_change_;
  FileStore store_;
  const Fd inotify_;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<Timer> settle_timer_;
  std::unique_ptr<Timer> poll_timer_;

  std::map<std::string, Folder> folders_;
  std::map<int, std::string> watched_;  // inotify's number -> folder
  std::set<std::string> dirty_;
  bool all_dirty_ = false;
  std::map<std::string, Stamp> read_;     // as of the last reading
  std::map<std::string, Stamp> changed_;  // seen by the last poll, not read yet
  std::vector<Diagnostic> told_;
  bool told_once_ = false;
};

absl::Status FileSource::Start() {
  for (const std::string& path : options_.paths) {
    if (absl::Status status = AddPath(path); !status.ok()) return status;
  }
  if (inotify_.get() < 0) {
    LOG(kWarn, "ingest", "inotify is not available (", ErrnoText(), "): files are looked at every ",
        ToMillis(options_.poll_interval), " ms");
  } else {
    for (const auto& [path, folder] : folders_) Watch(path);
    watch_ = loop_.WatchFd(inotify_.get(), FdTrigger::kLevel, kFdReadable,
                           [this](uint8_t) { OnInotify(); });
  }
  all_dirty_ = true;
  Settle();
  poll_timer_->Arm(options_.poll_interval);
  return absl::OkStatus();
}

absl::Status FileSource::AddPath(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::NotFoundError(absl::StrCat("configuration \"", path, "\": ", ErrnoText()));
  }
  if (S_ISDIR(info.st_mode)) {
    std::string folder = path;
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    folders_[folder].whole = true;
  } else {
    const auto [folder, name] = SplitPath(path);
    folders_[folder].names.insert(name);
  }
  return absl::OkStatus();
}

void FileSource::Watch(const std::string& folder) {
  const int number = inotify_add_watch(
      inotify_.get(), folder.c_str(),
      IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR);
  if (number < 0) {
    LOG(kWarn, "ingest", folder, " cannot be watched (", ErrnoText(), "): it is looked at every ",
        ToMillis(options_.poll_interval), " ms");
    return;
  }
  watched_[number] = folder;
}

void FileSource::OnInotify() {
  alignas(inotify_event) char buffer[16 * 1024];
  while (true) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof(buffer));
    if (size <= 0) break;
    for (ssize_t offset = 0; offset < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + offset);
      offset += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        MarkAllDirty();
        continue;
      }
      const auto it = watched_.find(event->wd);
      if (it == watched_.end()) continue;
      if ((event->mask & IN_IGNORED) != 0) {
        watched_.erase(it);  // the folder is gone; the poll looks for it
        continue;
      }
      OnEvent(it->second, event->mask, event->len > 0 ? event->name : "");
    }
  }
}

void FileSource::OnEvent(const std::string& folder, uint32_t mask, const std::string& name) {
  const auto it = folders_.find(folder);
  if (it == folders_.end()) return;
  // A mounted ConfigMap: all its files are links through "..data", which is moved into place.
  if (name == "..data") return MarkAllDirty();
  if (!Counts(it->second, name)) return;
  const std::string path = absl::StrCat(folder, "/", name);
  if ((mask & IN_CREATE) != 0) {
    // A regular file is read once its writer closes it; a link has no writer.
    struct stat info;
    if (lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return;
  }
  MarkDirty(path);
}

bool FileSource::Counts(const Folder& folder, const std::string& name) const {
  return folder.names.count(name) > 0 || (folder.whole && IsManifestName(name));
}

void FileSource::MarkDirty(const std::string& path) {
  dirty_.insert(path);
  if (!settle_timer_->armed()) settle_timer_->Arm(options_.settle);
}

void FileSource::MarkAllDirty() {
  all_dirty_ = true;
  if (!settle_timer_->armed()) settle_timer_->Arm(options_.settle);
}

absl::StatusOr<std::set<std::string>> FileSource::List(const std::string& path,
                                                       const Folder& folder) const {
  std::set<std::string> found;
  for (const std::string& name : folder.names) found.insert(absl::StrCat(path, "/", name));
  if (!folder.whole) return found;
  DIR* const directory = opendir(path.c_str());
  if (directory == nullptr) return absl::UnavailableError(ErrnoText());
  while (const dirent* entry = readdir(directory)) {
    if (IsManifestName(entry->d_name)) found.insert(absl::StrCat(path, "/", entry->d_name));
  }
  closedir(directory);
  return found;
}

void FileSource::Settle() {
  std::set<std::string> paths = std::move(dirty_);
  dirty_.clear();
  if (all_dirty_) {
    all_dirty_ = false;
    for (const auto& [path, folder] : folders_) {
      const auto listed = List(path, folder);
      if (!listed.ok()) {
        store_.SetUnreadable(path, listed.status().message());
        continue;
      }
      store_.Remove(path);  // what was said of the folder itself
      paths.insert(listed->begin(), listed->end());
      for (const auto& [known, stamp] : read_) {
        if (SplitPath(known).first == path) paths.insert(known);
      }
    }
  }
  Changes changes;
  for (const std::string& path : paths) Read(path, &changes);
  Tell(changes);
}

void FileSource::Tell(const Changes& changes) {
  std::vector<Diagnostic> diagnostics = store_.Diagnostics();
  if (changes.empty() && diagnostics == told_ && told_once_) return;
  told_once_ = true;
  told_ = std::move(diagnostics);
  on_change_(changes);
}

// Appends to what earlier files of this round have changed; a later word on an object wins.
void Append(Changes more, Changes* changes) {
  const auto forget = [changes](const ObjectKey& key) {
    auto& updated = changes->updated;
    for (size_t i = 0; i < updated.size(); ++i) {
      if (updated[i]->Key() == key) updated.erase(updated.begin() + static_cast<ptrdiff_t>(i--));
    }
    auto& deleted = changes->deleted;
    for (size_t i = 0; i < deleted.size(); ++i) {
      if (deleted[i] == key) deleted.erase(deleted.begin() + static_cast<ptrdiff_t>(i--));
    }
  };
  for (ObjectPtr& object : more.updated) {
    forget(object->Key());
    changes->updated.push_back(std::move(object));
  }
  for (ObjectKey& key : more.deleted) {
    forget(key);
    changes->deleted.push_back(std::move(key));
  }
}

void FileSource::Read(const std::string& path, Changes* changes) {
  changed_.erase(path);
  Stamp stamp;
  const absl::StatusOr<std::string> text = ReadText(path, &stamp);
  if (text.ok()) {
    read_[path] = stamp;
    return Append(store_.Update(path, *text), changes);
  }
  if (absl::IsNotFound(text.status())) {
    read_.erase(path);
    return Append(store_.Remove(path), changes);
  }
  store_.SetUnreadable(path, text.status().message());
}

absl::StatusOr<std::string> FileSource::ReadText(const std::string& path, Stamp* stamp) const {
  const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(path);
    return absl::UnavailableError(ErrnoText());
  }
  struct stat info;
  if (fstat(file.get(), &info) != 0) return absl::UnavailableError(ErrnoText());
  if (!S_ISREG(info.st_mode)) return absl::UnavailableError("it is not a regular file");
  if (static_cast<uint64_t>(info.st_size) > options_.file_bytes_max) {
    return absl::UnavailableError(
        absl::StrCat("it has ", info.st_size, " bytes, more than ", options_.file_bytes_max));
  }
  *stamp = StampOf(info);
  std::string text;
  char chunk[64 * 1024];
  while (true) {
    const ssize_t size = read(file.get(), chunk, sizeof(chunk));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::UnavailableError(ErrnoText());
    if (size == 0) return text;
    text.append(chunk, static_cast<size_t>(size));
    if (text.size() > options_.file_bytes_max) return absl::UnavailableError("it is too large");
  }
}

// What inotify has missed: a file is read when two polls have seen it in the same new state, so
// that nobody is writing it just now.
void FileSource::Poll() {
  for (const auto& [path, folder] : folders_) {
    const auto listed = List(path, folder);
    if (!listed.ok()) continue;
    std::set<std::string> paths = *listed;
    for (const auto& [known, stamp] : read_) {
      if (SplitPath(known).first == path) paths.insert(known);
    }
    for (const std::string& file : paths) {
      struct stat info;
      if (stat(file.c_str(), &info) != 0) {
        if (errno == ENOENT && read_.count(file) > 0) MarkDirty(file);
        continue;
      }
      const Stamp stamp = StampOf(info);
      const auto known = read_.find(file);
      if (known != read_.end() && known->second == stamp) continue;
      const auto seen = changed_.find(file);
      if (seen != changed_.end() && seen->second == stamp) {
        MarkDirty(file);
      } else {
        changed_[file] = stamp;
      }
    }
  }
  if (inotify_.get() >= 0 && watched_.size() < folders_.size()) {
    std::set<std::string> watched;
    for (const auto& [number, path] : watched_) watched.insert(path);
    for (const auto& [path, folder] : folders_) {
      if (watched.count(path) == 0) Watch(path);
    }
  }
  poll_timer_->Arm(options_.poll_interval);
}

}  // namespace

std::unique_ptr<ConfigSource> NewFileSource(Loop& loop, FileSourceOptions options,
                                            FileStore::Validator validator,
                                            ConfigSource::OnChange on_change) {
  return std::make_unique<FileSource>(loop, std::move(options), std::move(validator),
                                      std::move(on_change));
}

}  // namespace meltemi::pilot
