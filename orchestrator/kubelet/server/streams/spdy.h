// SPDY/3.1 framing without IO: what containers' runtimes and Kubernetes' clients speak on the
// connections of exec, attach and port-forward.
//
//     control  | 1 | version: 15 | type: 16 | flags: 8 | length: 24 | payload
//     data     | 0 | stream id: 31          | flags: 8 | length: 24 | payload
//
// Both ends of it are moby/spdystream in practice, which knows no flow control: windows are read
// and never sent; back-pressure is TCP's. Threads: an object belongs to one thread at a time.
// Source: the SPDY/3.1 draft.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"

namespace meltemi::kubelet {

using SpdyHeaders = std::vector<std::pair<std::string, std::string>>;  // names in lower case

enum class SpdyType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoaway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

inline constexpr uint32_t kSpdyRefusedStream = 3;  // of RST_STREAM
inline constexpr uint32_t kSpdyCancel = 5;

// A frame but for data.
struct SpdyControl {
  SpdyType type = SpdyType::kPing;
  uint32_t stream = 0;  // GOAWAY: the last good one; PING, SETTINGS: 0
  bool fin = false;
  uint32_t value = 0;   // RST_STREAM, GOAWAY: status; PING: its id; WINDOW_UPDATE: the difference
  SpdyHeaders headers;  // SYN_STREAM, SYN_REPLY, HEADERS
};

class SpdyEvents {
 public:
  virtual ~SpdyEvents() = default;
  virtual void OnControl(const SpdyControl& frame) = 0;
  // A piece of a data frame; `fin` with the last one of the stream. Take the bytes out of `data`.
  virtual void OnData(uint32_t stream, Buffer& data, bool fin) = 0;
};

struct SpdyLimits {
  size_t control_bytes_max = 64 * 1024;  // of a control frame as it is sent
  size_t headers_bytes_max = 64 * 1024;  // of a header block once it is unpacked
  size_t headers_count_max = 256;        // values, in one block
};

class SpdyReader {
 public:
  explicit SpdyReader(SpdyEvents& events, SpdyLimits limits = {});
  ~SpdyReader();

  // Takes all of `in`; what is incomplete is kept (bounded). Error: the connection can't go on, and
  // nothing is taken any more. The events must not destroy the reader.
  absl::Status Receive(Buffer& in);

 private:
  class Inflater;

  absl::Status BeginFrame(absl::string_view head);
  absl::Status OnPayload(SpdyType type);
  absl::Status ReadHeaders(absl::string_view block, SpdyHeaders& headers);
  absl::Status Fail(absl::string_view why);

  SpdyEvents& events_;
  const SpdyLimits limits_;
  std::unique_ptr<Inflater> inflater_;  // made with the first header block
  absl::Status failed_;
  Buffer pending_;
  // The frame that is being read.
  bool in_data_ = false;
  bool in_control_ = false;
  uint16_t type_ = 0;
  uint8_t flags_ = 0;
  uint32_t stream_ = 0;
  size_t left_ = 0;  // bytes of its payload
};

// Appends frames.
class SpdyWriter {
 public:
  SpdyWriter();
  ~SpdyWriter();

  void SynStream(uint32_t stream, const SpdyHeaders& headers, bool fin, Buffer& out);
  void SynReply(uint32_t stream, const SpdyHeaders& headers, bool fin, Buffer& out);
  // Takes all of `data`.
  void Data(uint32_t stream, Buffer& data, bool fin, Buffer& out);
  void RstStream(uint32_t stream, uint32_t status, Buffer& out);
  void Ping(uint32_t id, Buffer& out);
  void Goaway(uint32_t last_stream, uint32_t status, Buffer& out);

 private:
  class Deflater;
  std::string Block(const SpdyHeaders& headers);

  std::unique_ptr<Deflater> deflater_;  // made with the first header block
};

}  // namespace meltemi::kubelet
