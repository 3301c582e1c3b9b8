// A pod's resolv.conf, of its dnsPolicy and dnsConfig and of the node's.
//
// Threads: pure functions. Source: pkg/kubelet/network/dns; resolv.conf(5).
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::kube::core::v1 {
class Pod;
}  // namespace meltemi::kube::core::v1

namespace runtime::v1 {
class DNSConfig;
}  // namespace runtime::v1

namespace meltemi::kubelet {

// The last "search" line counts; options are merged by name.
::runtime::v1::DNSConfig ParseResolvConf(absl::string_view text);

// Cut to three name servers and a search list of 32 names and 2048 characters, as the resolver
// wants it. Without cluster DNS servers the node's are taken.
::runtime::v1::DNSConfig DnsConfigOf(const kube::core::v1::Pod& pod,
                                     const std::vector<std::string>& cluster_dns,
                                     const std::string& cluster_domain,
                                     const ::runtime::v1::DNSConfig& node);

}  // namespace meltemi::kubelet
