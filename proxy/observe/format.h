// Envoy's substitution language ("%REQ(X-ID?:PATH):20% %RESPONSE_CODE%"), compiled: for access logs
// and for header values. Immutable, thread-safe.
//
// Source: Envoy, "Access logging: command operators". Commands about what this proxy does not have
// (TLS of peers, dynamic metadata, filter state) are refused by name rather than printed as "-".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace meltemi::proxy {

struct StreamInfo;

// What a format may read; header maps may be null (TCP, nothing received).
struct FormatInput {
  const http::HeaderMap* request = nullptr;
  const http::HeaderMap* response = nullptr;
  const http::HeaderMap* trailers = nullptr;
  const StreamInfo* info = nullptr;  // never null
};

// What stays the same for a process: main reads it once and hands it to the compiler.
struct FormatEnvironment {
  std::string hostname;                                        // %HOSTNAME%
  std::vector<std::pair<std::string, std::string>> variables;  // %ENVIRONMENT(X)%
};

struct FormatCommand;  // format.cc

class Format {
 public:
  ~Format();

  // `omit_empty`: what has no value is left out instead of printed as "-". Error: names the
  // command, or says where the "%" that does not fit stands.
  static absl::StatusOr<std::shared_ptr<const Format>> Compile(
      absl::string_view text, bool omit_empty, const FormatEnvironment& environment);

  // True when the text has no command; then literal() is what Append would add ("%%" resolved).
  bool is_literal() const;
  const std::string& literal() const { return literal_; }

  void Append(const FormatInput& input, std::string* out) const;
  // As a JSON value: a lone command keeps its type (number, or null when it has no value), all else
  // is a string. False: no value, and omit_empty says that the property should not appear.
  bool AppendJson(const FormatInput& input, std::string* out) const;

 private:
  Format();
  std::string literal_;                  // before the first command
  std::vector<FormatCommand> commands_;  // each followed by its literal
  bool omit_empty_ = false;
};

// A line of JSON whose properties are formats, objects or lists; sorted by name as Envoy prints
// them.
class JsonFormat {
 public:
  struct Node {
    enum class Kind : uint8_t { kFormat, kRaw, kObject, kList } kind = Kind::kFormat;
    std::shared_ptr<const Format> format;
    std::string raw;  // kRaw: JSON as it stands (numbers, true, false, null)
    std::vector<std::pair<std::string, Node>>
        children;  // kObject: sorted by name; kList: names are ""
  };
  explicit JsonFormat(Node root);
  // Without a newline.
  void Append(const FormatInput& input, std::string* out) const;

 private:
  const Node root_;  // kObject
};

// "%START_TIME%"… as Envoy's and Istio's proxies log by default; both end with a newline.
extern const absl::string_view kEnvoyDefaultLogFormat;
extern const absl::string_view kIstioDefaultLogFormat;

}  // namespace meltemi::proxy
