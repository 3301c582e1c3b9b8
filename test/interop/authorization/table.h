// The table of the comparison: policies and requests, made from a seed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace meltemi::authorization {

// The ports of one workload: HTTP, HTTP over mutual TLS, and bytes.
struct WorkloadPorts {
  int http = 0, tls = 0, tcp = 0;
};

// Manifests of AuthorizationPolicies in the namespace "foo" that protect one workload.
std::string MakePolicies(uint64_t seed, const WorkloadPorts& ports);

enum class Kind { kHttp, kTls, kTcp };

// Whose certificate a client shows.
enum class Identity { kNone, kA, kB, kDnsName };

struct Request {
  Kind kind = Kind::kHttp;
  std::string method, path, host;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string source_ip;
  Identity identity = Identity::kNone;
  std::string server_name;  // in the TLS handshake; "": none

  std::string ToString() const;
};

std::vector<Request> MakeRequests(uint64_t seed, int http, int tls, int tcp);

}  // namespace meltemi::authorization
