#include "cli/images/packages.h"

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

// Needed while packages are installed, never by what is in them.
constexpr absl::string_view kInstallers[] = {
    "adduser",        "cdebconf", "debconf",     "debconf-2.0",
    "debianutils",    "dpkg",     "gcc-12-base", "init-system-helpers",
    "install-info",   "lsb-base", "passwd",      "sensible-utils",
    "sysvinit-utils", "ucf",
};

constexpr absl::string_view kUnwantedFolders[] = {
    "/etc/cron.",
    "/etc/default/",
    "/etc/init.d/",
    "/etc/init/",
    "/etc/logrotate.d/",
    "/etc/ufw/",
    "/lib/systemd/",
    "/usr/include/",
    "/usr/lib/systemd/",
    "/usr/lib/tmpfiles.d/",
    "/usr/lib/sysusers.d/",
    "/usr/share/apport/",
    "/usr/share/bash-completion/",
    "/usr/share/bug/",
    "/usr/share/doc-base/",
    "/usr/share/doc/",
    "/usr/share/fish/",
    "/usr/share/help/",
    "/usr/share/info/",
    "/usr/share/lintian/",
    "/usr/share/locale/",
    "/usr/share/man/",
    "/usr/share/menu/",
    "/usr/share/pixmaps/",
    "/usr/share/python3/runtime.d/",
    "/usr/share/zsh/",
    "/usr/share/applications/",
};

constexpr absl::string_view kUnwantedEndings[] = {".a", ".la", ".pc", ".dpkg-new", ".dpkg-dist"};

// "libc6:any (>= 2.36)" -> "libc6".
std::string BareName(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  return std::string(text.substr(0, text.find_first_of(" (:[<")));
}

std::vector<std::vector<std::string>> ParseNeeds(absl::string_view text) {
  std::vector<std::vector<std::string>> needs;
  for (const absl::string_view need : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    std::vector<std::string> alternatives;
    for (const absl::string_view one : absl::StrSplit(need, '|')) {
      alternatives.push_back(BareName(one));
    }
    needs.push_back(std::move(alternatives));
  }
  return needs;
}

std::optional<Package> ParseParagraph(absl::string_view paragraph) {
  Package package;
  bool installed = false;
  for (const absl::string_view line : absl::StrSplit(paragraph, '\n')) {
    const size_t colon = line.find(": ");
    if (colon == absl::string_view::npos || line[0] == ' ') continue;
    const absl::string_view key = line.substr(0, colon), value = line.substr(colon + 2);
    if (key == "Package") package.name = std::string(value);
    if (key == "Status") installed = absl::EndsWith(value, " installed");
    if (key == "Architecture") package.architecture = std::string(value);
    if (key == "Multi-Arch") package.multi_arch = std::string(value);
    if (key == "Depends" || key == "Pre-Depends") {
      for (auto& need : ParseNeeds(value)) package.needs.push_back(std::move(need));
    }
    if (key != "Provides") continue;
    for (const absl::string_view one : absl::StrSplit(value, ',', absl::SkipWhitespace())) {
      package.provides.push_back(BareName(one));
    }
  }
  if (!installed || package.name.empty()) return std::nullopt;
  return package;
}

bool IsInstaller(const std::string& name) {
  for (const absl::string_view installer : kInstallers) {
    if (name == installer) return true;
  }
  return false;
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The modules that installation compiled: __pycache__/NAME.cpython-311.pyc beside NAME.py.
absl::Status AddCompiled(const std::string& path, RootFs* root) {
  const fs::path source(path);
  const fs::path folder = source.parent_path() / "__pycache__";
  const std::string start = source.stem().string() + ".cpython-";
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!absl::StartsWith(name, start) || !absl::EndsWith(name, ".pyc")) continue;
    if (absl::StrContains(name, ".opt-")) continue;
    const std::string whole = entry.path().string();
    if (absl::Status status = root->AddHostFile(whole, whole, true); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AddFiles(absl::string_view list, RootFs* root) {
  for (const absl::string_view line : absl::StrSplit(list, '\n', absl::SkipEmpty())) {
    const std::string path(line);
    if (path == "/." || !IsWantedPath(path)) continue;
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (error || status.type() == fs::file_type::not_found) continue;  // removed by its owner
    if (absl::Status added = root->AddHostFile(path, path, true); !added.ok()) return added;
    if (!absl::EndsWith(path, ".py")) continue;
    if (absl::Status added = AddCompiled(path, root); !added.ok()) return added;
  }
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, Package> ParsePackages(absl::string_view status_text) {
  std::map<std::string, Package> packages;
  for (const absl::string_view paragraph : absl::StrSplit(status_text, "\n\n")) {
    std::optional<Package> package = ParseParagraph(paragraph);
    if (!package) continue;
    std::string name = package->name;
    packages.try_emplace(std::move(name), *std::move(package));
  }
  return packages;
}

absl::StatusOr<std::vector<std::string>> PackageClosure(
    const std::map<std::string, Package>& installed, const std::vector<std::string>& names,
    const std::vector<std::string>& without) {
  const std::set<std::string> unwanted(without.begin(), without.end());
  std::map<std::string, std::string> providers;
  for (const auto& [name, package] : installed) {
    for (const std::string& virtual_name : package.provides)
      providers.try_emplace(virtual_name, name);
  }
  std::set<std::string> wanted;
  std::vector<std::string> left;
  for (const std::string& name : names) {
    if (installed.count(name) == 0) {
      return absl::NotFoundError(absl::StrCat("the package ", name, " is not installed; try: ",
                                              "apt-get install --no-install-recommends ", name));
    }
    if (wanted.insert(name).second) left.push_back(name);
  }
  while (!left.empty()) {
    const std::string name = std::move(left.back());
    left.pop_back();
    for (const std::vector<std::string>& need : installed.at(name).needs) {
      for (const std::string& alternative : need) {
        std::string found = alternative;
        if (installed.count(found) == 0) {
          const auto provider = providers.find(alternative);
          if (provider == providers.end()) continue;
          found = provider->second;
        }
        if (IsInstaller(alternative) || IsInstaller(found) || unwanted.count(found) > 0) break;
        if (wanted.insert(found).second) {
          left.push_back(found);
        }
        break;  // one alternative is enough
      }
    }
  }
  return std::vector<std::string>(wanted.begin(), wanted.end());
}

bool IsWantedPath(absl::string_view path) {
  for (const absl::string_view folder : kUnwantedFolders) {
    if (absl::StartsWith(path, folder) || absl::StrCat(path, "/") == folder) return false;
  }
  for (const absl::string_view ending : kUnwantedEndings) {
    if (absl::EndsWith(path, ending)) return false;
  }
  return true;
}

absl::Status AddPackages(const std::vector<std::string>& names,
                         const std::vector<std::string>& without, RootFs* root,
                         const std::string& dpkg_folder) {
  const absl::StatusOr<std::string> status_text = ReadText(dpkg_folder + "/status");
  if (!status_text.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(status_text.status().message(), ": this is no Debian"));
  }
  const std::map<std::string, Package> installed = ParsePackages(*status_text);
  const absl::StatusOr<std::vector<std::string>> all = PackageClosure(installed, names, without);
  if (!all.ok()) return all.status();
  for (const std::string& name : *all) {
    const Package& package = installed.at(name);
    absl::StatusOr<std::string> list =
        ReadText(absl::StrCat(dpkg_folder, "/info/", name, ":", package.architecture, ".list"));
    if (!list.ok()) list = ReadText(absl::StrCat(dpkg_folder, "/info/", name, ".list"));
    if (!list.ok()) return list.status();
    if (absl::Status status = AddFiles(*list, root); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace meltemi::cli
