// The small HTTP/1.1 server behind the admin and debug pages of every binary.
//
// Loop-owned: listener, connections and handlers run on the loop that it is given. Handlers answer
// at once. It serves operators and scrapers, so it is bounded rather than fast.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/codec.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::http {

struct DebugRequest {
  absl::string_view method;
  absl::string_view path;   // without the query
  absl::string_view query;  // without the "?"
  absl::string_view body;
  const HeaderMap* headers = nullptr;

  // The first value of a query parameter, percent-decoded; nullopt when it is absent, "" when it
  // has no value.
  std::optional<std::string> Param(absl::string_view name) const;
};

struct DebugResponse {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
  // More of them; a name that the server sets by itself is replaced.
  std::vector<std::pair<std::string, std::string>> fields = {};
};

struct DebugServerOptions {
  size_t body_bytes_max = 16 * 1024 * 1024;
  size_t connections_max = 256;
  // A connection without an open request, or with an unfinished one, is closed after this long.
  Duration idle_timeout = seconds(60);
  // What is at paths that begin with this is answered to loopback addresses alone, others get 403;
  // "": everybody gets everything.
  std::string loopback_only = {};
};

class DebugServer {
 public:
  using Handler = absl::AnyInvocable<DebugResponse(const DebugRequest&)>;
  enum class Methods : uint8_t {
    kGet,   // GET and HEAD
    kPost,  // POST alone: what changes something
    kAny,
  };

  virtual ~DebugServer() = default;
  // `path` is matched exactly; one that ends in "/" (but "/" itself) serves everything below it.
  // "/" lists all paths with `help` unless it is given a handler. Last one wins.
  virtual void Route(absl::string_view path, Methods methods, absl::string_view help,
                     Handler handler) = 0;
  // With the port that the kernel chose where 0 was asked for.
  virtual const net::Address& address() const = 0;
  virtual size_t open_connections() const = 0;
};

// Error: what could not be bound and why.
absl::StatusOr<std::unique_ptr<DebugServer>> ListenDebug(Loop& loop, const net::Address& address,
                                                         const DebugServerOptions& options = {});

}  // namespace meltemi::http
