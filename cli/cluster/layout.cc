#include "cli/cluster/layout.h"

#include <cstdint>
#include <filesystem>
#include <set>
#include <system_error>

#include "absl/strings/str_format.h"

namespace meltemi::cli {
namespace {

// FNV-1a: the same in every run and on every machine.
uint32_t HashOf(const std::string& text) {
  uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

}  // namespace

ClusterFolders FoldersOf(const std::string& data_dir) {
  ClusterFolders folders;
  std::error_code error;
  std::string path = std::filesystem::absolute(data_dir, error).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path != kDataDir) folders.run_dir = absl::StrFormat("%s-%08x", kRunDir, HashOf(path));
  folders.data_dir = path;
  return folders;
}

std::vector<std::string> KnownNodes(const ClusterFolders& cluster) {
  namespace fs = std::filesystem;
  std::set<std::string> names;
  for (const std::string& folder : {cluster.data_dir + "/nodes", cluster.run_dir}) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      std::error_code ignored;
      if (entry.is_directory(ignored)) names.insert(entry.path().filename().string());
    }
  }
  return {names.begin(), names.end()};
}

}  // namespace meltemi::cli
