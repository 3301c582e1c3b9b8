#include "cli/images/mesh_images.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cli/images/elf.h"
#include "cli/images/root_fs.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kTables[] = "/usr/sbin/xtables-nft-multi";
constexpr char kExtensions[] = "/usr/lib/x86_64-linux-gnu/xtables";
constexpr char kAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";
// The matches and targets of the redirect rules.
constexpr const char* kExtensionNames[] = {"standard",  "tcp",      "udp",  "owner",
                                           "conntrack", "REDIRECT", "mark", "MARK"};

absl::Status AddBase(RootFs* root) {
  absl::Status status;
  const auto then = [&status](absl::Status next) {
    if (status.ok()) status = std::move(next);
  };
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    then(root->AddFolder(absl::StrCat("usr/", name)));
    then(root->AddSymlink(name, absl::StrCat("usr/", name)));
  }
  for (const char* name : {"dev", "etc", "proc", "run", "sys"}) then(root->AddFolder(name));
  then(root->AddFolder("tmp", 01777));
  then(root->AddText("etc/passwd",
                     "root:x:0:0:root:/:/usr/sbin/nologin\n"
                     "istio-proxy:x:1337:1337:meltemi:/:/usr/sbin/nologin\n"));
  then(root->AddText("etc/group", "root:x:0:\nistio-proxy:x:1337:\n"));
  then(root->AddText("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"));
  // For what the mesh asks outside of itself.
  std::ifstream authorities(kAuthorities, std::ios::binary);
  std::ostringstream text;
  if (authorities && text << authorities.rdbuf()) then(root->AddText(kAuthorities, text.str()));
  return status;
}

absl::Status AddTables(RootFs* root) {
  std::error_code error;
  if (!fs::exists(kTables, error)) {
    return absl::NotFoundError(absl::StrCat(kTables, " is missing; try: apt-get install iptables"));
  }
  absl::Status status = AddProgram(kTables, root);
  for (const char* family : {"iptables", "ip6tables"}) {
    for (const char* what : {"", "-save", "-restore"}) {
      if (!status.ok()) return status;
      status = root->AddSymlink(absl::StrCat("usr/sbin/", family, what), "xtables-nft-multi");
    }
  }
  for (const char* name : kExtensionNames) {
    if (!status.ok()) return status;
    const std::string path = absl::StrCat(kExtensions, "/libxt_", name, ".so");
    if (fs::exists(path, error)) status = AddProgram(path, root);
  }
  return status;
}

absl::StatusOr<WrittenImage> Write(const std::string& program, const std::string& name,
                                   const std::string& tag, bool tables, const std::string& path) {
  RootFs root;
  absl::Status status = AddBase(&root);
  if (status.ok()) status = AddStrippedProgram(program, absl::StrCat("usr/bin/", name), &root);
  if (status.ok() && tables) status = AddTables(&root);
  if (!status.ok()) return status;
  ImageSettings settings;
  settings.tags = {tag};
  settings.entrypoint = {absl::StrCat("/usr/bin/", name)};
  settings.user = "1337:1337";
  return WriteImageArchive(settings, root, path);
}

}  // namespace

absl::StatusOr<WrittenImage> WriteProxyImage(const std::string& program, const std::string& tag,
                                             const std::string& path) {
  return Write(program, "meltemi-proxy", tag, /*tables=*/true, path);
}

absl::StatusOr<WrittenImage> WritePilotImage(const std::string& program, const std::string& tag,
                                             const std::string& path) {
  return Write(program, "meltemi-pilot", tag, /*tables=*/false, path);
}

}  // namespace meltemi::cli
