#include "orchestrator/kubelet/containers/pull_auths.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json/parse.h"
#include "orchestrator/kubelet/images/image_name.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kConfigBytesMax = size_t{1} << 20;

// "https://index.docker.io/v1/" is "index.docker.io".
std::string Registry(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, "https://")) absl::ConsumePrefix(&key, "http://");
  const size_t slash = key.find('/');
  std::string host(key.substr(0, slash));
  absl::string_view path = slash == absl::string_view::npos ? "" : key.substr(slash);
  if (absl::StartsWith(path, "/v1/") || absl::StartsWith(path, "/v2/")) path.remove_prefix(3);
  return absl::StrCat(host, path == "/" ? "" : path);
}

// "*.example.com" stands for one label each; ports are the same, paths begin the same.
bool Fits(const std::string& registry, const ImageName& image) {
  const std::pair<std::string, std::string> wanted =
      absl::StrSplit(registry, absl::MaxSplits('/', 1));
  std::string host = wanted.first;
  if (host == "index.docker.io") host = "docker.io";
  if (!wanted.second.empty() && !absl::StartsWith(image.path, wanted.second)) return false;
  const std::pair<std::string, std::string> pattern = absl::StrSplit(host, absl::MaxSplits(':', 1));
  const std::pair<std::string, std::string> domain =
      absl::StrSplit(image.domain, absl::MaxSplits(':', 1));
  if (pattern.second != domain.second) return false;
  const std::vector<std::string> labels = absl::StrSplit(pattern.first, '.');
  const std::vector<std::string> names = absl::StrSplit(domain.first, '.');
  if (labels.size() != names.size()) return false;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (fnmatch(labels[i].c_str(), names[i].c_str(), FNM_NOESCAPE) != 0) return false;
  }
  return true;
}

PullAuth AuthOf(const json::Value& entry, const std::string& server) {
  PullAuth out;
  out.username = std::string(entry.FindString("username"));
  out.password = std::string(entry.FindString("password"));
  out.identity_token = std::string(entry.FindString("identitytoken"));
  out.registry_token = std::string(entry.FindString("registrytoken"));
  out.server_address = server;
  std::string decoded;
  if (out.username.empty() && absl::Base64Unescape(entry.FindString("auth"), &decoded)) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(decoded, absl::MaxSplits(':', 1));
    out.username = pair.first;
    out.password = pair.second;
    while (!out.password.empty() && out.password.back() == '\0') out.password.pop_back();
  }
  return out;
}

}  // namespace

std::vector<PullAuth> PullAuthsOf(absl::string_view config, bool legacy, const std::string& image) {
  std::vector<PullAuth> out;
  const std::optional<ImageName> name = ParseImageName(image);
  const auto parsed = json::Parse(config, {.size_bytes_max = kConfigBytesMax, .depth_max = 10});
  if (!name || !parsed.ok()) return out;
  const json::Value* const auths = legacy ? &*parsed : parsed->Find("auths");
  if (auths == nullptr) return out;
  // Longer paths come first.
  std::multimap<std::string, PullAuth, std::greater<>> fitting;
  for (const auto& member : auths->members()) {
    const std::string registry = Registry(member.key);
    if (Fits(registry, *name)) fitting.emplace(registry, AuthOf(member.value, member.key));
  }
  for (auto& [registry, auth] : fitting) out.push_back(std::move(auth));
  return out;
}

}  // namespace meltemi::kubelet
