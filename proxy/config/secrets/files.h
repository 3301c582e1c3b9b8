// Small files that change while the proxy runs: roots, tokens, certificates that others write.
//
// Main loop only.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"

namespace meltemi::proxy {

// Error: the file and what is wrong with it; also when it is larger than a certificate can be.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

class FileWatch {
 public:
  virtual ~FileWatch() = default;
};

// Tells that a file may have changed. It is the file's folder that is watched: Kubernetes replaces
// mounted files by turning a symbolic link in their folder. A folder that is not there is looked
// for now and then.
class FileWatcher final {
 public:
  explicit FileWatcher(Loop& loop);
  // Every watch is gone by then.
  ~FileWatcher();

  // `changed` comes from the loop, once for what happens together; never from within this call. It
  // may end any watch.
  std::unique_ptr<FileWatch> Watch(const std::string& path, absl::AnyInvocable<void()> changed);

 private:
  class Handle;
  struct Folder {
    int watch = -1;  // of inotify(7); -1: the folder is not there
    bool changed = false;
    std::set<Handle*> handles;
  };
  void Begin(const std::string& path, Folder* folder);
  void OnEvents();
  void OnTimer();

  Loop& loop_;
  const int inotify_;
  std::map<std::string, Folder> folders_;
  std::unique_ptr<FdWatch> events_;
  std::unique_ptr<Timer> timer_;  // for what has changed, or for folders that are not there
};

}  // namespace meltemi::proxy
