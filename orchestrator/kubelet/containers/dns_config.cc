#include "orchestrator/kubelet/containers/dns_config.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {
namespace {

namespace cri = ::runtime::v1;
using Texts = google::protobuf::RepeatedPtrField<std::string>;

constexpr int kServersMax = 3;
constexpr int kSearchesMax = 32;
constexpr size_t kSearchBytesMax = 2048;
constexpr size_t kNameBytesMax = 253;

void AddOnce(const std::string& text, Texts* to) {
  if (std::find(to->begin(), to->end(), text) == to->end()) *to->Add() = text;
}

// "ndots:5" replaces another "ndots".
void SetOption(const std::string& option, Texts* to) {
  const auto name = [](absl::string_view text) { return text.substr(0, text.find(':')); };
  for (std::string& held : *to) {
    if (name(held) != name(option)) continue;
    held = option;
    return;
  }
  *to->Add() = option;
}

void Limit(cri::DNSConfig* config) {
  if (config->servers_size() > kServersMax) {
    config->mutable_servers()->DeleteSubrange(kServersMax, config->servers_size() - kServersMax);
  }
  Texts kept;
  size_t bytes = 0;
  for (const std::string& name : config->searches()) {
    if (kept.size() == kSearchesMax) break;
    if (name.size() > kNameBytesMax) continue;
    bytes += name.size() + (kept.empty() ? 0 : 1);
    if (bytes > kSearchBytesMax) break;
    *kept.Add() = name;
  }
  config->mutable_searches()->Swap(&kept);
}

}  // namespace

cri::DNSConfig ParseResolvConf(absl::string_view text) {
  cri::DNSConfig out;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
    if (words.size() < 2 || words[0][0] == '#' || words[0][0] == ';') continue;
    if (words[0] == "nameserver") out.add_servers(words[1]);
    if (words[0] == "search") {
      out.clear_searches();
      for (size_t i = 1; i < words.size(); ++i) {
        if (words[i] != ".") out.add_searches(std::string(absl::StripSuffix(words[i], ".")));
      }
    }
    if (words[0] == "options") {
      for (size_t i = 1; i < words.size(); ++i) SetOption(words[i], out.mutable_options());
    }
  }
  return out;
}

cri::DNSConfig DnsConfigOf(const kube::core::v1::Pod& pod,
                           const std::vector<std::string>& cluster_dns,
                           const std::string& cluster_domain, const cri::DNSConfig& node) {
  const std::string& policy = pod.spec().dns_policy();
  // ClusterFirst of a pod with the host's network is the node's.
  const bool cluster = policy == "ClusterFirstWithHostNet" ||
                       (policy != "None" && policy != "Default" && !pod.spec().host_network());
  cri::DNSConfig out;
  if (policy == "None") {
    // What dnsConfig says is all.
  } else if (cluster && !cluster_dns.empty()) {
    for (const std::string& server : cluster_dns) out.add_servers(server);
    if (!cluster_domain.empty()) {
      AddOnce(absl::StrCat(pod.metadata().namespace_(), ".svc.", cluster_domain),
              out.mutable_searches());
      AddOnce(absl::StrCat("svc.", cluster_domain), out.mutable_searches());
      AddOnce(cluster_domain, out.mutable_searches());
    }
    for (const std::string& name : node.searches()) AddOnce(name, out.mutable_searches());
    out.add_options("ndots:5");
  } else {
    out = node;
  }
  const kube::core::v1::PodDNSConfig& more = pod.spec().dns_config();
  for (const std::string& server : more.nameservers()) AddOnce(server, out.mutable_servers());
  for (const std::string& name : more.searches()) AddOnce(name, out.mutable_searches());
  for (const auto& option : more.options()) {
    SetOption(
        option.value().empty() ? option.name() : absl::StrCat(option.name(), ":", option.value()),
        out.mutable_options());
  }
  Limit(&out);
  return out;
}

}  // namespace meltemi::kubelet
