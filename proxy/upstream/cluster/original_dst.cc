#include "proxy/upstream/cluster/original_dst.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace meltemi::proxy {

absl::StatusOr<net::Address> OriginalDestinationOf(const ClusterConfig& config,
                                                   const http::HeaderMap* headers,
                                                   const net::Address& original_dst) {
  net::Address address = original_dst;
  if (config.original_dst_use_header && headers != nullptr) {
    const absl::string_view text = headers->Get(config.original_dst_header);
    if (!text.empty()) {
      auto parsed = net::Address::Parse(text);
      if (!parsed.ok() || !parsed->is_ip()) {
        return absl::InvalidArgumentError(
            absl::StrCat("header ", config.original_dst_header, ": not an ip:port"));
      }
      address = *parsed;
    }
  }
  if (address.set() && config.original_dst_port_override.has_value()) {
    address.set_port(*config.original_dst_port_override);
  }
  return address;
}

std::shared_ptr<Host> OriginalDstHosts::FindOrAdd(const net::Address& address,
                                                  const ClusterConfig& config) {
  if (auto it = hosts_.find(address); it != hosts_.end()) {
    it->second.used = true;
    return it->second.host;
  }
  if (hosts_.size() >= kHostsMax) return nullptr;
  EndpointConfig endpoint;
  endpoint.address = address;
  endpoint.port = address.port();
  auto host = std::make_shared<Host>(std::move(endpoint), config.name);
  hosts_[address] = {host, true};
  return host;
}

std::vector<std::shared_ptr<Host>> OriginalDstHosts::Sweep() {
  std::vector<std::shared_ptr<Host>> forgotten;
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    if (it->second.used) {
      it->second.used = false;
      ++it;
    } else {
      forgotten.push_back(std::move(it->second.host));
      hosts_.erase(it++);
    }
  }
  return forgotten;
}

}  // namespace meltemi::proxy
