#include "orchestrator/kubelet/volumes/atomic_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "orchestrator/kubelet/volumes/files.h"

namespace meltemi::kubelet {
namespace {

constexpr char kData[] = "..data";
constexpr char kNewData[] = "..data_tmp";
constexpr size_t kPathBytesMax = 4096;
constexpr size_t kFileBytesMax = 4 << 20;

std::string Join(const std::string& folder, absl::string_view name) {
  return absl::StrCat(folder, "/", name);
}

absl::Status CheckPath(const std::string& path) {
  const auto bad = [&path](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("invalid path: ", why, path));
  };
  if (path.empty()) return bad("must not be empty");
  if (path[0] == '/') return bad("must be relative path: ");
  if (path.size() > kPathBytesMax) return bad("must be less than or equal to 4096 characters: ");
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) {
    return bad("must not contain '..': ");
  }
  if (absl::StartsWith(parts[0], "..")) return bad("must not start with '..': ");
  return absl::OkStatus();
}

// "a/b" of "./a//b".
std::string Cleaned(const std::string& path) {
  std::string out;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    absl::StrAppend(&out, out.empty() ? "" : "/", part);
  }
  return out;
}

// Users' names never begin like that.
bool IsVersion(absl::string_view name) {
  return absl::StartsWith(name, "..") && name != kData && name != kNewData;
}

std::string LinkTarget(const std::string& path) {
  char text[kPathBytesMax];
  const ssize_t length = readlink(path.c_str(), text, sizeof(text));
  return length < 0 ? "" : std::string(text, static_cast<size_t>(length));
}

// Paths of all files below.
void ListFiles(const std::string& folder, const std::string& prefix, int depth,
               std::set<std::string>* out) {
  if (depth > 64) return;
  for (const std::string& name : NamesIn(folder)) {
    const std::string path = Join(folder, name);
    const auto stat = LinkStatOf(path);
    if (!stat.has_value()) continue;
    if (S_ISDIR(stat->st_mode)) {
      ListFiles(path, absl::StrCat(prefix, name, "/"), depth + 1, out);
    } else {
      out->insert(absl::StrCat(prefix, name));
    }
  }
}

bool IsSame(const std::string& version, const VolumeFiles& files) {
  std::set<std::string> there;
  ListFiles(version, "", 0, &there);
  if (there.size() != files.size()) return false;
  for (const auto& [path, file] : files) {
    if (there.count(path) == 0) return false;
    const absl::StatusOr<std::string> bytes = ReadSmallFile(Join(version, path), kFileBytesMax);
    if (!bytes.ok() || *bytes != file.bytes) return false;
  }
  return true;
}

std::string NewVersionName(const std::string& folder, WallTime now) {
  const absl::Time time = absl::FromChrono(now);
  const std::string stem = absl::FormatTime("..%Y_%m_%d_%H_%M_%S.", time, absl::UTCTimeZone());
  uint64_t tail = static_cast<uint64_t>(absl::ToUnixMicros(time)) % 1'000'000;
  while (LinkStatOf(Join(folder, absl::StrCat(stem, tail))).has_value()) ++tail;
  return absl::StrCat(stem, tail);
}

absl::Status WriteVersion(const std::string& version, const VolumeFiles& files) {
  if (absl::Status made = MakeFolders(version, 0755); !made.ok()) return made;
  for (const auto& [path, file] : files) {
    const std::string full = Join(version, path);
    if (absl::Status made = MakeFolders(full.substr(0, full.rfind('/')), 0755); !made.ok()) {
      return made;
    }
    if (absl::Status wrote = WriteFile(full, file.bytes, file.mode); !wrote.ok()) return wrote;
    if (file.owner.has_value() &&
        lchown(full.c_str(), static_cast<uid_t>(*file.owner), static_cast<gid_t>(-1)) != 0) {
      return PathError("chown", full);
    }
  }
  return absl::OkStatus();
}

absl::Status PointTo(const std::string& folder, const std::string& version_name) {
  const std::string made = Join(folder, kNewData), data = Join(folder, kData);
  unlink(made.c_str());
  if (symlink(version_name.c_str(), made.c_str()) != 0) return PathError("symlink", made);
  if (rename(made.c_str(), data.c_str()) != 0) return PathError("rename", made);
  return absl::OkStatus();
}

// The names that users see: links for all there are, none for those that are gone.
absl::Status LinkNames(const std::string& folder, const VolumeFiles& files) {
  std::set<std::string> names;
  for (const auto& [path, file] : files) names.insert(path.substr(0, path.find('/')));
  for (const std::string& name : names) {
    const std::string link = Join(folder, name);
    if (LinkStatOf(link).has_value()) continue;
    if (symlink(absl::StrCat(kData, "/", name).c_str(), link.c_str()) != 0) {
      return PathError("symlink", link);
    }
  }
  for (const std::string& name : NamesIn(folder)) {
    if (absl::StartsWith(name, "..") || names.count(name) > 0) continue;
    const std::string link = Join(folder, name);
    if (LinkTarget(link) == absl::StrCat(kData, "/", name)) unlink(link.c_str());
  }
  return absl::OkStatus();
}

void RemoveOtherVersions(const std::string& folder, const std::string& version_name) {
  for (const std::string& name : NamesIn(folder)) {
    if (!IsVersion(name) || name == version_name) continue;
    RemoveTree(Join(folder, name)).IgnoreError();
  }
}

}  // namespace

bool HasVersion(const std::string& folder) { return IsFolder(Join(folder, kData)); }

absl::Status WriteAtomically(const std::string& folder, const VolumeFiles& wanted, WallTime now,
                             const std::function<absl::Status()>& permit) {
  VolumeFiles files;
  for (const auto& [path, file] : wanted) {
    if (absl::Status good = CheckPath(path); !good.ok()) return good;
    files[Cleaned(path)] = file;
  }
  std::string version_name = LinkTarget(Join(folder, kData));
  const bool is_there = IsVersion(version_name) && HasVersion(folder);
  if (!is_there || !IsSame(Join(folder, version_name), files)) {
    const std::string next = NewVersionName(folder, now);
    if (absl::Status wrote = WriteVersion(Join(folder, next), files); !wrote.ok()) {
      RemoveTree(Join(folder, next)).IgnoreError();
      return wrote;
    }
    if (permit) {
      if (absl::Status permitted = permit(); !permitted.ok()) return permitted;
    }
    if (absl::Status pointed = PointTo(folder, next); !pointed.ok()) return pointed;
    version_name = next;
  }
  if (absl::Status linked = LinkNames(folder, files); !linked.ok()) return linked;
  RemoveOtherVersions(folder, version_name);
  return absl::OkStatus();
}

}  // namespace meltemi::kubelet
