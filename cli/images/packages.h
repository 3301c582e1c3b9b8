// Installed Debian packages as files of an image: the named ones and all that they depend on.
//
// Read from dpkg's own files; nothing is executed or downloaded. Left out: packages that only
// installation scripts need (debconf, dpkg, adduser, …), documentation, translations, headers,
// service definitions and static libraries. What installation scripts made (alternatives, caches)
// is not in an image either, except Python's compiled modules, which lie beside their sources.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/images/root_fs.h"

namespace meltemi::cli {

struct Package {
  std::string name, architecture, multi_arch;
  // Each one is needed; of its alternatives one is.
  std::vector<std::vector<std::string>> needs;
  std::vector<std::string> provides;
};

// By name, of the text of dpkg's status file: installed ones alone.
std::map<std::string, Package> ParsePackages(absl::string_view status_text);

// The named packages and what they need, sorted; neither those of `without` nor what only they
// need. Error: one is not installed, with the command that installs it.
absl::StatusOr<std::vector<std::string>> PackageClosure(
    const std::map<std::string, Package>& installed, const std::vector<std::string>& names,
    const std::vector<std::string>& without = {});

// Whether a file of a package belongs into an image.
bool IsWantedPath(absl::string_view path);

absl::Status AddPackages(const std::vector<std::string>& names,
                         const std::vector<std::string>& without, RootFs* root,
                         const std::string& dpkg_folder = "/var/lib/dpkg");

}  // namespace meltemi::cli
