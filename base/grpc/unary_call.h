// One gRPC call with one request and one response, on an HTTP/2 connection of its own.
//
// Loop-owned. Nothing is tried again: that is its user's affair. As bidi_stream.h.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/grpc/bidi_stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::http::grpc {

class UnaryCall {
 public:
  // Destroying cancels without a callback; allowed within it.
  virtual ~UnaryCall() = default;
};

// `done` is called once, from the loop, never from within this call: with the response's bytes, or
// with the server's status, UNAVAILABLE (not connected, connection lost), DEADLINE_EXCEEDED, or
// INTERNAL (no response, or several). `deadline`: for everything, connecting included; the server
// is told.
std::unique_ptr<UnaryCall> CallUnary(Loop& loop, const net::Address& to, const BidiOptions& options,
                                     Duration deadline, absl::string_view request,
                                     absl::AnyInvocable<void(absl::StatusOr<std::string>)> done);

}  // namespace meltemi::http::grpc
