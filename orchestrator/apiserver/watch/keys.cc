#include "orchestrator/apiserver/watch/keys.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kCore = "core";

}  // namespace

std::string ResourcePrefix(const kube::GroupResource& storage) {
  const absl::string_view group = storage.group.empty() ? kCore : absl::string_view(storage.group);
  return absl::StrCat(kRegistryPrefix, group, "/", storage.resource, "/");
}

std::string NamespacePrefix(const kube::GroupResource& storage, absl::string_view ns) {
  return absl::StrCat(ResourcePrefix(storage), ns, "/");
}

std::string ObjectKey(const kube::GroupResource& storage, absl::string_view ns,
                      absl::string_view name) {
  return absl::StrCat(ns.empty() ? ResourcePrefix(storage) : NamespacePrefix(storage, ns), name);
}

std::optional<ParsedKey> ParseObjectKey(absl::string_view key) {
  if (!absl::ConsumePrefix(&key, kRegistryPrefix)) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(key, '/');
  if (parts.size() != 3 && parts.size() != 4) return std::nullopt;
  for (const absl::string_view part : parts) {
    if (part.empty()) return std::nullopt;
  }
  ParsedKey parsed;
  if (parts[0] != kCore) parsed.storage.group = std::string(parts[0]);
  parsed.storage.resource = std::string(parts[1]);
  if (parts.size() == 4) parsed.ns = std::string(parts[2]);
  parsed.name = std::string(parts.back());
  return parsed;
}

}  // namespace meltemi::apiserver
