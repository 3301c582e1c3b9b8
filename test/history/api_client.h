// A client of the API server for tests of histories: one connection, one request at a time, waits.
//
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
#include "base/tls/tls.h"

namespace meltemi::history {

struct ApiServerAddress {
  std::string host_port;   // "127.0.0.1:41234"
  std::string pki_folder;  // with admin.crt, admin.key and ca.crt
};

class ApiClient {
 public:
  // Error: the files are missing or the server is not there.
  static absl::StatusOr<std::unique_ptr<ApiClient>> Connect(const ApiServerAddress& server);
  virtual ~ApiClient() = default;

  struct Answer {
    int code = 0;  // 0: the connection was lost
    json::Value body;
  };
  virtual Answer Do(absl::string_view method, absl::string_view path,
                    absl::string_view body = "") = 0;
  // Calls `on_event` with each event of a watch until it or the connection ends, or `on_event` or
  // `go_on` say false. Returns the code of the answer.
  virtual int Watch(absl::string_view path,
                    const std::function<bool(const json::Value& event)>& on_event,
                    const std::function<bool()>& go_on) = 0;
};

}  // namespace meltemi::history
