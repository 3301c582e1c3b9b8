// One HTTP request on a connection of its own: active health checks, the CLI, tests.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::http {

struct CallRequest {
  std::string method = "GET";
  std::string authority;  // "": the address
  std::string path = "/";
  // Names in lower case.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  Duration timeout = seconds(10);  // for all of it, the connection included
  size_t response_bytes_max = 64 * 1024 * 1024;
  Protocol protocol = Protocol::kHttp11;
};

struct CallResponse {
  int status = 0;
  HeaderMapPtr headers;
  std::string body;
};

// Loop-owned. Destroying cancels; allowed within the callback.
class HttpCall {
 public:
  virtual ~HttpCall() = default;
};

// Called once, from the loop, never from within StartCall. Error: UNAVAILABLE (connection),
// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED (response too large), with the address.
using CallDone = absl::AnyInvocable<void(absl::StatusOr<CallResponse>)>;
std::unique_ptr<HttpCall> StartCall(Loop& loop, const net::Address& to, const CallRequest& request,
                                    CallDone on_done);

// The same for a program without a loop: blocks until done.
absl::StatusOr<CallResponse> CallAndWait(const net::Address& to, const CallRequest& request);

}  // namespace meltemi::http
