#include "cli/images/root_fs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/images/tar.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kLinksMax = 40;  // as the kernel's own bound
constexpr size_t kPieceBytes = 256 * 1024;

absl::Status SystemError(absl::string_view what, const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

absl::Status WriteContent(const std::string& path, const FsEntry& entry,
                          const std::function<absl::Status(absl::string_view)>& write) {
  if (entry.source.empty()) return write(entry.bytes);
  std::ifstream in(entry.source, std::ios::binary);
  if (!in) return SystemError("cannot read", entry.source);
  std::string piece(kPieceBytes, '\0');
  uint64_t left = entry.size_bytes;
  while (left > 0) {
    in.read(piece.data(), static_cast<std::streamsize>(std::min<uint64_t>(left, piece.size())));
    const size_t got = static_cast<size_t>(in.gcount());
    if (got == 0) {
      return absl::AbortedError(
          absl::StrCat(entry.source, " became shorter while it was read for /", path));
    }
    left -= got;
    if (absl::Status status = write(absl::string_view(piece.data(), got)); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> RootFs::Resolve(absl::string_view path, int links_left) const {
  std::string at;
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == ".") continue;
    if (parts[i] == "..") {
      return absl::InvalidArgumentError(absl::StrCat(path, ": \"..\" leads out of the image"));
    }
    if (!at.empty()) at += '/';
    absl::StrAppend(&at, parts[i]);
    if (i + 1 == parts.size()) break;
    const auto found = entries_.find(at);
    if (found == entries_.end() || found->second.type != FsEntry::Type::kSymlink) continue;
    if (links_left == 0) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": too many symbolic links"));
    }
    const std::string& target = found->second.target;
    const fs::path whole = absl::StartsWith(target, "/")
                               ? fs::path(target)
                               : fs::path("/" + at).parent_path() / target;
    const absl::StatusOr<std::string> folder =
        Resolve(absl::StrCat(whole.lexically_normal().string(), "/x"), links_left - 1);
    if (!folder.ok()) return folder.status();
    at = std::string(absl::StripSuffix(absl::StripSuffix(*folder, "x"), "/"));
  }
  return at;
}

const FsEntry* RootFs::Find(absl::string_view path) const {
  const absl::StatusOr<std::string> name = Resolve(path, kLinksMax);
  if (!name.ok()) return nullptr;
  const auto found = entries_.find(*name);
  return found == entries_.end() ? nullptr : &found->second;
}

absl::Status RootFs::Add(absl::string_view path, FsEntry entry) {
  const absl::StatusOr<std::string> name = Resolve(path, kLinksMax);
  if (!name.ok()) return name.status();
  if (name->empty()) return absl::OkStatus();  // the root itself
  for (size_t cut = name->find('/'); cut != std::string::npos; cut = name->find('/', cut + 1)) {
    const auto [parent, is_new] = entries_.try_emplace(name->substr(0, cut));
    if (is_new) {
      parent->second.type = FsEntry::Type::kFolder;
      parent->second.mode = 0755;
    } else if (parent->second.type != FsEntry::Type::kFolder) {
      return absl::InvalidArgumentError(
          absl::StrCat("/", *name, ": /", parent->first, " is no folder"));
    }
  }
  const auto old = entries_.find(*name);
  if (old != entries_.end() && entry.type == FsEntry::Type::kFolder &&
      old->second.type == FsEntry::Type::kSymlink) {
    return absl::OkStatus();  // a link to a folder (/bin) stays what it is
  }
  if (old != entries_.end() && old->second.type == FsEntry::Type::kFolder &&
      entry.type != FsEntry::Type::kFolder) {
    const auto below = entries_.lower_bound(*name + "/");
    if (below != entries_.end() && absl::StartsWith(below->first, *name + "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("/", *name, " is a folder with content, and a file in another source"));
    }
  }
  entries_[*name] = std::move(entry);
  return absl::OkStatus();
}

absl::Status RootFs::AddFolder(absl::string_view path, uint32_t mode) {
  FsEntry entry;
  entry.type = FsEntry::Type::kFolder;
  entry.mode = mode;
  return Add(path, std::move(entry));
}

absl::Status RootFs::AddText(absl::string_view path, std::string text, uint32_t mode) {
  FsEntry entry;
  entry.mode = mode;
  entry.size_bytes = text.size();
  entry.bytes = std::move(text);
  return Add(path, std::move(entry));
}

absl::Status RootFs::AddSymlink(absl::string_view path, absl::string_view target) {
  FsEntry entry;
  entry.type = FsEntry::Type::kSymlink;
  entry.mode = 0777;
  entry.target = std::string(target);
  return Add(path, std::move(entry));
}

absl::Status RootFs::AddHostFile(absl::string_view path, const std::string& source,
                                 bool keep_owner_and_time) {
  struct stat info {};
  if (lstat(source.c_str(), &info) != 0) return SystemError("cannot read", source);
  FsEntry entry;
  entry.mode = info.st_mode & 07777;
  if (keep_owner_and_time) {
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    entry.mtime_s = info.st_mtime;
  }
  if (S_ISDIR(info.st_mode)) {
    entry.type = FsEntry::Type::kFolder;
  } else if (S_ISLNK(info.st_mode)) {
    std::array<char, PATH_MAX> target;
    const ssize_t length = readlink(source.c_str(), target.data(), target.size());
    if (length < 0) return SystemError("cannot read", source);
    entry.type = FsEntry::Type::kSymlink;
    entry.mode = 0777;
    entry.target.assign(target.data(), static_cast<size_t>(length));
  } else if (S_ISREG(info.st_mode)) {
    entry.source = source;
    entry.size_bytes = static_cast<uint64_t>(info.st_size);
    if (info.st_nlink > 1) {
      entry.device = info.st_dev;
      entry.inode = info.st_ino;
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat(source, " is a device, a socket or a pipe: an image cannot have it"));
  }
  return Add(path, std::move(entry));
}

absl::Status RootFs::AddHostFolder(const std::string& folder,
                                   const std::function<bool(absl::string_view)>& skip) {
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot read the folder ", folder, ": ", error.message()));
  }
  for (; it != end; it.increment(error)) {
    if (error) {
      return absl::FailedPreconditionError(
          absl::StrCat("cannot read all of the folder ", folder, ": ", error.message()));
    }
    const std::string relative = it->path().lexically_relative(folder).string();
    if (skip(relative)) {
      it.disable_recursion_pending();
      continue;
    }
    if (absl::Status status = AddHostFile(relative, it->path().string(), false); !status.ok()) {
      return status;
    }
  }
  if (error) return absl::FailedPreconditionError(absl::StrCat(folder, ": ", error.message()));
  return absl::OkStatus();
}

uint64_t RootFs::size_bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, entry] : entries_) sum += entry.size_bytes;
  return sum;
}

absl::Status RootFs::WriteTar(const std::function<absl::Status(absl::string_view)>& write) const {
  std::map<std::pair<uint64_t, uint64_t>, std::string> written;  // (device, inode) -> name
  for (const auto& [name, entry] : entries_) {
    TarEntry header;
    header.name = name;
    header.mode = entry.mode;
    header.uid = entry.uid;
    header.gid = entry.gid;
    header.mtime_s = entry.mtime_s;
    bool has_content = false;
    if (entry.type == FsEntry::Type::kFolder) {
      header.type = '5';
      header.name += '/';
    } else if (entry.type == FsEntry::Type::kSymlink) {
      header.type = '2';
      header.link = entry.target;
    } else if (const auto twin = written.find({entry.device, entry.inode});
               entry.inode != 0 && twin != written.end()) {
      header.type = '1';
      header.link = twin->second;
    } else {
      if (entry.inode != 0) written[{entry.device, entry.inode}] = name;
      header.size_bytes = entry.size_bytes;
      has_content = true;
    }
    absl::Status status = write(TarHeader(header));
    if (status.ok() && has_content) status = WriteContent(name, entry, write);
    if (status.ok() && has_content) status = write(TarPadding(entry.size_bytes));
    if (!status.ok()) return status;
  }
  return write(TarEnd());
}

}  // namespace meltemi::cli
