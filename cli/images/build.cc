#include "cli/images/build.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/yaml/parse.h"
#include "cli/images/elf.h"
#include "cli/images/image_name.h"
#include "cli/images/packages.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kPasswdMaster[] = "/usr/share/base-passwd/passwd.master";
constexpr char kGroupMaster[] = "/usr/share/base-passwd/group.master";
constexpr char kAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";

std::string ReadText(const std::string& path, absl::string_view otherwise = "") {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::string(otherwise);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

absl::Status WrongKey(const json::Member& member, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", member.line, ": ", member.key, " ", what));
}

// A text, or a list of texts and numbers.
absl::Status TakeTexts(const json::Member& member, std::vector<std::string>* out) {
  if (!out->empty()) return absl::OkStatus();  // the command line's come first
  std::vector<json::Value> one = {member.value};
  for (const json::Value& item : member.value.is_array() ? member.value.items() : one) {
    if (!item.is_string() && !item.is_number()) {
      return WrongKey(member, "must be a text or a list of texts");
    }
    out->push_back(item.text());
  }
  return absl::OkStatus();
}

absl::Status TakeText(const json::Member& member, std::string* out) {
  if (!member.value.is_string() && !member.value.is_number()) {
    return WrongKey(member, "must be a text");
  }
  if (out->empty()) *out = member.value.text();
  return absl::OkStatus();
}

absl::Status TakeSwitch(const json::Member& member, bool* out) {
  if (!member.value.is_bool()) return WrongKey(member, "must be true or false");
  *out |= member.value.bool_value();
  return absl::OkStatus();
}

// "/bin/busybox: [/bin/sh, /bin/cat]".
absl::Status TakeLinks(const json::Member& member, std::vector<std::string>* out) {
  if (!member.value.is_object()) return WrongKey(member, "must be a mapping of targets to paths");
  for (const json::Member& link : member.value.members()) {
    std::vector<std::string> paths;
    if (absl::Status status = TakeTexts(link, &paths); !status.ok()) return status;
    for (const std::string& path : paths) out->push_back(absl::StrCat(path, "=", link.key));
  }
  return absl::OkStatus();
}

absl::Status TakeMember(const json::Member& member, BuildRequest* request) {
  ImageSettings& settings = request->settings;
  const std::string& key = member.key;
  if (key == "tags") return TakeTexts(member, &settings.tags);
  if (key == "entrypoint") return TakeTexts(member, &settings.entrypoint);
  if (key == "cmd") return TakeTexts(member, &settings.cmd);
  if (key == "env") return TakeTexts(member, &settings.env);
  if (key == "ports") return TakeTexts(member, &settings.ports);
  if (key == "programs") return TakeTexts(member, &request->programs);
  if (key == "packages") return TakeTexts(member, &request->packages);
  if (key == "without") return TakeTexts(member, &request->without);
  if (key == "links") return TakeLinks(member, &request->links);
  if (key == "workdir") return TakeText(member, &settings.workdir);
  if (key == "user") return TakeText(member, &settings.user);
  if (key == "stopSignal") return TakeText(member, &settings.stop_signal);
  if (key == "caCertificates") return TakeSwitch(member, &request->ca_certificates);
  if (key == "gzip") return TakeSwitch(member, &settings.gzip);
  return WrongKey(member,
                  "is no setting of an image; there are tags, entrypoint, cmd, env, workdir, user, "
                  "stopSignal, ports, programs, packages, without, links, caCertificates, gzip");
}

// What every Debian program counts on. /bin and its like are links, as on the machine itself.
absl::Status AddBase(RootFs* root) {
  absl::Status status;
  const auto then = [&status](absl::Status next) {
    if (status.ok()) status = std::move(next);
  };
  for (const char* name : {"bin", "sbin", "lib", "lib64"}) {
    then(root->AddFolder(absl::StrCat("usr/", name)));
    then(root->AddSymlink(name, absl::StrCat("usr/", name)));
  }
  for (const char* name : {"dev", "etc", "proc", "run", "sys", "var/lib", "var/log", "var/cache"}) {
    then(root->AddFolder(name));
  }
  then(root->AddFolder("root", 0700));
  then(root->AddFolder("tmp", 01777));
  then(root->AddFolder("var/tmp", 01777));
  then(root->AddSymlink("var/run", "/run"));
  then(root->AddText("etc/passwd", ReadText(kPasswdMaster,
                                            "root:x:0:0:root:/root:/bin/sh\n"
                                            "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")));
  then(root->AddText("etc/group", ReadText(kGroupMaster, "root:x:0:\nnogroup:x:65534:\n")));
  then(root->AddText("etc/nsswitch.conf",
                     "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
                     "protocols: files\n"));
  return status;
}

absl::Status AddLinks(const std::vector<std::string>& links, RootFs* root) {
  for (const std::string& link : links) {
    const std::vector<std::string> sides = absl::StrSplit(link, absl::MaxSplits('=', 1));
    if (sides.size() != 2 || sides[0].empty() || sides[1].empty()) {
      return absl::InvalidArgumentError(absl::StrCat("link \"", link, "\" must be PATH=TARGET"));
    }
    if (absl::Status status = root->AddSymlink(sides[0], sides[1]); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReadImageFiles(BuildRequest* request) {
  for (auto folder = request->folders.rbegin(); folder != request->folders.rend(); ++folder) {
    std::error_code error;
    if (!fs::is_directory(*folder, error)) {
      return absl::InvalidArgumentError(*folder + " is no folder");
    }
    const std::string file = absl::StrCat(*folder, "/", kImageFile);
    if (!fs::exists(file, error)) continue;
    if (absl::Status status = ReadImageFile(ReadText(file), request); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

std::string DefaultOutput(const ImageName& name) {
  const size_t slash = name.repository.rfind('/');
  return absl::StrCat(name.repository.substr(slash + 1), "_", name.tag, ".tar");
}

}  // namespace

absl::Status ReadImageFile(absl::string_view text, BuildRequest* request) {
  const absl::StatusOr<json::Value> document = yaml::Parse(text);
  if (!document.ok()) return document.status();
  if (!document->is_object()) {
    return absl::InvalidArgumentError("it must be a mapping of settings");
  }
  for (const json::Member& member : document->members()) {
    if (absl::Status status = TakeMember(member, request); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<RootFs> MakeRootFs(const BuildRequest& request) {
  RootFs root;
  absl::Status status;
  if (!request.programs.empty() || !request.packages.empty()) status = AddBase(&root);
  if (status.ok() && !request.packages.empty()) {
    status = AddPackages(request.packages, request.without, &root);
  }
  for (const std::string& program : request.programs) {
    if (status.ok()) status = AddProgram(program, &root);
  }
  if (status.ok() && request.ca_certificates) {
    const std::string list = ReadText(kAuthorities);
    status = list.empty() ? absl::NotFoundError(absl::StrCat(
                                kAuthorities, " is missing; try: apt-get install ca-certificates"))
                          : root.AddText(kAuthorities, list);
  }
  if (status.ok()) status = AddLinks(request.links, &root);
  for (const std::string& folder : request.folders) {
    if (!status.ok()) break;
    status = root.AddHostFolder(folder, [](absl::string_view name) { return name == kImageFile; });
  }
  if (!status.ok()) return status;
  if (root.empty()) {
    return absl::InvalidArgumentError("an image of nothing: name a folder, --program or --package");
  }
  return root;
}

absl::StatusOr<WrittenImage> BuildImage(BuildRequest request, std::string* written_to) {
  if (absl::Status status = ReadImageFiles(&request); !status.ok()) return status;
  if (absl::Status status = CheckImageSettings(request.settings); !status.ok()) return status;
  if (request.output.empty()) {
    request.output = DefaultOutput(*ParseImageName(request.settings.tags[0]));
  }
  *written_to = request.output;
  const absl::StatusOr<RootFs> root = MakeRootFs(request);
  if (!root.ok()) return root.status();
  return WriteImageArchive(request.settings, *root, request.output);
}

}  // namespace meltemi::cli
