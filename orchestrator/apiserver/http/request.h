// One request as handlers see it, and what they answer.
//
// Threads: a handler runs on a thread of the request pool and may block; loops never do. A Request
// belongs to its handler until the Reply is given back.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/authn/user.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

class BodySource;
class Translator;

// What a path and a method mean (k8s.io/apiserver/pkg/endpoints/request RequestInfo).
struct RequestInfo {
  bool is_resource = false;  // else a path such as /healthz
  std::string path;          // percent-decoded, without the query
  // "get" "list" "watch" "create" "update" "patch" "delete" "deletecollection" "proxy"; for
  // paths the method in lower case.
  std::string verb;
  std::string group, version, resource, subresource, ns, name;
  std::vector<std::string> parts;  // of the path, from the resource on
};
// `method` and `query` decide between get, list and watch.
RequestInfo ParseRequestInfo(absl::string_view method, absl::string_view path,
                             absl::string_view query);

// The parameters of a query, decoded; the first value of a name counts.
class Query {
 public:
  static Query Parse(absl::string_view text);
  std::optional<std::string> Get(absl::string_view name) const;
  std::vector<std::string> All(absl::string_view name) const;
  // As Kubernetes converts parameters: absent, "0" and "false" (in any case) are false, everything
  // else is true, the empty value too. Never an error.
  kube::Result<bool> Bool(absl::string_view name) const;
  // Error: BadRequest in strconv.ParseInt's words.
  kube::Result<std::optional<int64_t>> Int(absl::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

struct Request {
  uint64_t id = 0;
  std::string method;
  std::string target;  // as it was sent
  Query query;
  RequestInfo info;
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined by ", "
  std::string body;
  std::string remote_address;
  // Subject of a verified client certificate.
  std::optional<ClientCertificate> certificate;
  MonotonicTime deadline;

  // Filled in on the way.
  UserInfo user;
  // Warning headers of the answer (RFC 7234, code 299).
  std::vector<std::string> warnings;

  absl::string_view Header(absl::string_view lower_case_name) const;
};

// A whole answer.
struct Body {
  int code = 200;
  std::string content_type = "application/json";
  std::string bytes;
  std::vector<std::pair<std::string, std::string>> fields = {};
};

// A watch: the server sends headers, then registers `query` with the hub on the connection's loop.
struct WatchAnswer {
  WatchQuery query;
  Duration timeout;
};

// A body that is made while it is sent; each piece once the client has room for it.
struct StreamAnswer {
  std::string content_type;
  std::shared_ptr<BodySource> source;
};

// Bytes to and from a kubelet or an aggregated server: the connection becomes a tunnel once the
// peer has answered; without an upgrade the peer's answer is streamed through.
struct ProxyAnswer {
  std::string scheme, host;  // "https", "10.0.0.5:10250"
  std::string target;        // path and query for the peer
  std::string server_name;   // "": not verified
  // What stands in the tunnel; null: bytes pass as they are.
  std::shared_ptr<Translator> translator = nullptr;
  // Not "": whatever the peer answers but success becomes a Status about this, "pods/log NAME".
  std::string status_of = "";
};

using Reply = std::variant<Body, WatchAnswer, StreamAnswer, ProxyAnswer>;

// Answers for a family of paths. Thread-safe.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual Reply Handle(Request& request) = 0;
};

// With Retry-After where the Status says so.
Reply StatusReply(const kube::Status& status);
Reply JsonReply(int code, const json::Value& value);

}  // namespace meltemi::apiserver
