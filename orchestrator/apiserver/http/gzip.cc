#include "orchestrator/apiserver/http/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/http/syntax.h"

namespace meltemi::apiserver {
namespace {

constexpr int kLevel = 1;
constexpr int kWindowBits = 15 + 16;  // 16: gzip's head and tail
constexpr int kMemoryLevel = 8;
constexpr size_t kChunkBytes = 64 * 1024;

// The quality of one element; 1 when it says nothing.
double Quality(absl::string_view parameters) {
  const size_t at = parameters.find("q=");
  if (at == absl::string_view::npos) return 1;
  double quality = 0;
  return absl::SimpleAtod(absl::StripAsciiWhitespace(parameters.substr(at + 2)), &quality) ? quality
                                                                                           : 0;
}

}  // namespace

bool AcceptsGzip(absl::string_view accept_encoding) {
  bool any = false, named = false, accepted = false;
  http::ForEachListElement(accept_encoding, [&](absl::string_view element) {
    const size_t end = std::min(element.find(';'), element.size());
    const absl::string_view coding = absl::StripAsciiWhitespace(element.substr(0, end));
    const bool wanted = Quality(element.substr(end)) > 0;
    if (absl::EqualsIgnoreCase(coding, "gzip")) named = true, accepted = wanted;
    if (coding == "*") any = wanted;
    return true;
  });
  return named ? accepted : any;
}

std::string Gzip(absl::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return "";
  }
  std::string out;
  int result = Z_OK;
  // zlib counts in 32 bits, and room is made as it turns out to be needed.
  while (result == Z_OK) {
    if (stream.avail_in == 0 && !bytes.empty()) {
      const size_t count = std::min(bytes.size(), kChunkBytes);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(count);
      bytes.remove_prefix(count);
    }
    const size_t used = out.size();
    out.resize(used + kChunkBytes);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = kChunkBytes;
    result = deflate(&stream, bytes.empty() ? Z_FINISH : Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    // Nothing to do is no error.
    if (result == Z_BUF_ERROR && !bytes.empty()) result = Z_OK;
  }
  deflateEnd(&stream);
  if (result != Z_STREAM_END) return "";
  return out;
}

}  // namespace meltemi::apiserver
