#include "base/http/stream.h"

namespace meltemi::http {

absl::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kHttp10:
      return "HTTP/1.0";
    case Protocol::kHttp11:
      return "HTTP/1.1";
    case Protocol::kHttp2:
      return "HTTP/2";
  }
  return "HTTP";
}

absl::string_view ResetCauseName(ResetCause cause) {
  switch (cause) {
    case ResetCause::kRemoteReset:
      return "remote reset";
    case ResetCause::kRemoteRefused:
      return "remote refused";
    case ResetCause::kConnectionLost:
      return "connection lost";
    case ResetCause::kProtocolError:
      return "protocol error";
    case ResetCause::kLimit:
      return "limit";
    case ResetCause::kLocal:
      return "local reset";
  }
  return "unknown";
}

}  // namespace meltemi::http
