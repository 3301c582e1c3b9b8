// Calls over the network that probes and lifecycle hooks make, as a seam: over sockets
// (NewNetworkProber), or what a test says (network_prober_fake.h).
//
// Threads: thread-safe; `done` is called once, on a thread of the prober's (in a test: the
// executor's), never from within the call, and not any more after its destruction. Source:
// pkg/probe/{http,tcp,grpc}; the words of outcomes are Kubernetes' and Go's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"

namespace meltemi::kubelet {

struct ProbeVerdict {
  enum class Kind : uint8_t {
    kSuccess,
    kWarning,  // a success that is told of
    kFailure,
    kError,  // it says nothing about the container
  };
  Kind kind = Kind::kSuccess;
  std::string output;   // what the event tells
  int http_status = 0;  // of an answer; 0: there was none
};

struct HttpProbe {
  bool https = false;  // the certificate is not verified
  std::string host;    // an address, or a name
  uint16_t port = 80;
  std::string path;       // "/healthz?x=1", percent-encoded
  std::string authority;  // "": host and port
  // User-Agent and Accept are there.
  std::vector<std::pair<std::string, std::string>> headers;
  Duration timeout = seconds(1);
};
struct TcpProbe {
  std::string host;
  uint16_t port = 0;
  Duration timeout = seconds(1);
};
// grpc.health.v1.Health/Check.
struct GrpcProbe {
  std::string host;
  uint16_t port = 0;
  std::string service;
  Duration timeout = seconds(1);
};

using ProbeDone = std::function<void(ProbeVerdict)>;

class NetworkProber {
 public:
  virtual ~NetworkProber() = default;
  // A GET. Redirects to the same host are followed, at most ten of them; one to another host is a
  // warning. At most 10 KiB of the body are read.
  virtual void Http(const HttpProbe& probe, ProbeDone done) = 0;
  virtual void Tcp(const TcpProbe& probe, ProbeDone done) = 0;
  virtual void Grpc(const GrpcProbe& probe, ProbeDone done) = 0;
};

// On an event loop of its own with one thread, in the network namespace of the thread that makes
// it. `clock` outlives it.
std::unique_ptr<NetworkProber> NewNetworkProber(const Clock& clock);

}  // namespace meltemi::kubelet
