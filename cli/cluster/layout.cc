#include "cli/cluster/layout.h"

#include <filesystem>
#include <set>
#include <system_error>

namespace meltemi::cli {

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
