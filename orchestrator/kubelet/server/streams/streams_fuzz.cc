// Any bytes from either side: codecs and translators neither crash nor grow, and however the bytes
// are cut into pieces, the same comes out.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/log/log.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/port_forward.h"
#include "orchestrator/kubelet/server/streams/remote_command.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Translator;

// What comes out for both sides, when `bytes` come from one of them in pieces of `step`.
std::string Translate(Translator& translator, absl::string_view bytes, bool from_client,
                      size_t step) {
  Translator::Out out;
  const bool agreed = translator.OnUpgraded(SpdyRequest(kRemoteCommandV4), out).ok();
  CHECK(agreed);
  const size_t before = out.to_peer.size() + out.to_client.size();
  for (size_t at = 0; at < bytes.size(); at += step) {
    Buffer in(bytes.substr(at, step));
    if (from_client) {
      translator.FromClient(in, false, out);
    } else {
      translator.FromPeer(in, false, out);
    }
    CHECK(in.empty());
  }
  // Pongs are as long as their pings, heads are a few bytes.
  CHECK(out.to_peer.size() + out.to_client.size() <= before + 16 * bytes.size() + 1024);
  Buffer nothing;
  translator.FromClient(nothing, true, out);
  CHECK(out.end_client && out.end_peer);
  return out.to_peer.ToString() + "|" + std::to_string(out.to_client.size() > 0);
}

void Try(absl::string_view bytes, bool from_client) {
  const Runtime::StreamOptions options = {.in = true, .out = true, .err = true, .tty = true};
  std::string whole;
  for (const size_t step : {bytes.size() + 1, size_t{1}, size_t{7}}) {
    const auto command = NewRemoteCommandTranslator("key", kRemoteCommandV5, options);
    (void)Translate(*command, bytes, from_client, step);
    const auto forward = NewPortForwardTranslator("key");
    const std::string out = Translate(*forward, bytes, from_client, step);
    if (whole.empty()) whole = out;
    CHECK(out == whole);
  }
}

}  // namespace
}  // namespace meltemi::kubelet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 64 * 1024) return 0;
  meltemi::kubelet::Try(bytes, true);
  meltemi::kubelet::Try(bytes, false);
  return 0;
}
