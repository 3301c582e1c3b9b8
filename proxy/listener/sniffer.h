// Recognises what a client speaks from its first bytes: HTTP/1, HTTP/2 with prior knowledge, TLS
// with its server name and ALPN. Sans-IO: the caller peeks, nothing is consumed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"

namespace meltemi::proxy {

// The words are those of Envoy's filter-chain matches.
struct SniffResult {
  std::string transport_protocol;                  // "tls", "raw_buffer"; "" when nobody looked
  std::string server_name;                         // SNI, lower case
  std::vector<std::string> application_protocols;  // ALPN, or "http/1.0", "http/1.1", "h2c"
};

inline constexpr absl::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum class PrefaceVerdict : uint8_t { kNeedMore, kHttp2, kOther };
// Whether `in` begins with HTTP/2's connection preface (RFC 9113 3.4). An empty buffer needs more.
PrefaceVerdict LooksLikeHttp2(const Buffer& in);

// Loop-owned; one per connection while it is being looked at.
class Sniffer {
 public:
  // A first line or ClientHello that is longer than this is not recognised.
  static constexpr size_t kLookBytesMax = 16 * 1024;

  Sniffer(bool http, bool tls) : http_(http), tls_(tls) {}

  // Looks at all that has arrived. False: undecided, call again with more. True: result() is final,
  // also when nothing was recognised. The end of the stream decides.
  bool Inspect(Buffer& in, bool end_of_stream);
  const SniffResult& result() const { return result_; }

 private:
  enum class Verdict : uint8_t { kNeedMore, kYes, kNo };
  Verdict InspectTls(absl::string_view bytes);
  Verdict InspectHttp(absl::string_view bytes);

  const bool http_;
  const bool tls_;
  bool tls_decided_ = false;
  SniffResult result_;
};

}  // namespace meltemi::proxy
