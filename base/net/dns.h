// Name resolution on a loop, over c-ares.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::net {

enum class DnsFamily : uint8_t { kAuto, kV4Only, kV6Only, kV4Preferred, kAll };

struct DnsAnswer {
  std::vector<Address> addresses;  // with port 0
  Duration ttl{seconds(5)};        // the smallest of the records
};

// Loop-owned.
class DnsQuery {
 public:
  // Destroying cancels: the callback is not called any more.
  virtual ~DnsQuery() = default;
};

class DnsResolver {
 public:
  using Callback = absl::AnyInvocable<void(absl::StatusOr<DnsAnswer>)>;
  virtual ~DnsResolver() = default;
  // The callback comes from the loop, never from within this call. /etc/hosts and literal addresses
  // are answered too. Error: NOT_FOUND (no such name), UNAVAILABLE (servers failed), with the name.
  virtual std::unique_ptr<DnsQuery> Resolve(const std::string& name, DnsFamily family,
                                            Callback on_done) = 0;
};

// `servers`: "ip[:port]" each; empty means /etc/resolv.conf.
absl::StatusOr<std::unique_ptr<DnsResolver>> NewDnsResolver(Loop& loop,
                                                            const std::vector<Address>& servers);

}  // namespace meltemi::net
