// Any bytes of a server: the reader neither crashes nor hangs, and does not mind how they are cut;
// what a redirect leads to can be asked for.
#include <cstdint>
#include <cstdlib>

#include "orchestrator/kubelet/probes/probe_url.h"
#include "orchestrator/kubelet/probes/response_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using meltemi::kubelet::ResponseReader;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  ResponseReader whole, pieces;
  whole.Feed(text, true);
  for (const char& c : text) pieces.Feed(absl::string_view(&c, 1), false);
  pieces.Feed("", true);
  if (whole.state() != ResponseReader::State::kDone &&
      whole.state() != ResponseReader::State::kFailed) {
    std::abort();
  }
  if (whole.state() != pieces.state() || whole.status() != pieces.status() ||
      whole.body() != pieces.body() || whole.body().size() > 10 * 1024) {
    std::abort();
  }
  meltemi::kubelet::HttpProbe from;
  from.host = "10.0.0.1";
  from.path = meltemi::kubelet::EncodePath(text);
  for (const char c : from.path) {
    if (c <= ' ' || c > '~') std::abort();
  }
  const auto to = meltemi::kubelet::Redirected(from, text);
  if (to.has_value() && (to->host.empty() || to->path.empty() || to->path[0] != '/')) std::abort();
  return 0;
}
