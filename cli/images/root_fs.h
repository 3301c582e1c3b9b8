// The files that an image shall have: a tree in memory whose contents stay on disk until written.
//
// Paths are as inside the image, with or without the leading slash; ".." is refused. A parent that
// is a symbolic link is followed inside the image, as the container will see it. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

struct FsEntry {
  enum class Type : uint8_t { kFile, kFolder, kSymlink };
  Type type = Type::kFile;
  uint32_t mode = 0644;
  uint32_t uid = 0, gid = 0;
  int64_t mtime_s = 0;
  std::string target;  // of a symbolic link
  // A file's content: a file of this machine, or else `bytes`.
  std::string source;
  std::string bytes;
  uint64_t size_bytes = 0;
  // Files with the same identity (not 0) are written once and linked.
  uint64_t device = 0, inode = 0;
};

class RootFs {
 public:
  // Missing parents become folders of root's, 0755. What was there under the name is replaced, a
  // folder keeps its content. Error: a folder with something in it would be replaced by something
  // else, or the path leads nowhere.
  absl::Status Add(absl::string_view path, FsEntry entry);
  absl::Status AddFolder(absl::string_view path, uint32_t mode = 0755);
  absl::Status AddText(absl::string_view path, std::string text, uint32_t mode = 0644);
  absl::Status AddSymlink(absl::string_view path, absl::string_view target);

  // `source` as lstat sees it, at `path`. Owners and times are kept if `keep_owner_and_time`, else
  // root's and zero. Error: it is a device, a socket or a pipe; or it can't be read.
  absl::Status AddHostFile(absl::string_view path, const std::string& source,
                           bool keep_owner_and_time);
  // Everything below a folder of this machine, except what `skip` wants (paths relative to it).
  absl::Status AddHostFolder(const std::string& folder,
                             const std::function<bool(absl::string_view relative)>& skip);

  // Null: nothing there. Parents' links are followed, the last component's is not.
  const FsEntry* Find(absl::string_view path) const;
  bool empty() const { return entries_.empty(); }
  uint64_t size_bytes() const;
  // The layer as a tar stream, in order of the paths, in pieces. Error: a file changed or vanished
  // meanwhile, or of `write`.
  absl::Status WriteTar(const std::function<absl::Status(absl::string_view)>& write) const;

 private:
  // The canonical name: no slash in front, links of parents followed.
  absl::StatusOr<std::string> Resolve(absl::string_view path, int links_left) const;

  std::map<std::string, FsEntry> entries_;
};

}  // namespace meltemi::cli
