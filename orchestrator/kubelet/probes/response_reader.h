// An HTTP/1 answer as Go's client reads it, which takes more than our proxy's strict parser does:
// people write the servers of their first probes with a shell and nc.
//
// Threads: one at a time; sans-IO. Source: Go's net/http (ReadResponse), RFC 9112.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kubelet {

class ResponseReader {
 public:
  enum class State : uint8_t {
    kHead,
    kBody,  // status() and location() are there
    kDone,
    kFailed,  // error() says why
  };

  // `end`: the server has closed the connection.
  void Feed(absl::string_view data, bool end);

  State state() const { return state_; }
  int status() const { return status_; }
  const std::string& location() const { return location_; }  // "": there is none
  // The first 10 KiB; there is no more once as much is there.
  const std::string& body() const { return body_; }
  // In Go's words: "EOF", "malformed HTTP response \"x\"".
  const std::string& error() const { return error_; }

 private:
  enum class Framing : uint8_t { kUntilClosed, kLength, kChunkSize, kChunk, kChunkEnd };

  void Fail(std::string why);
  void ReadHead();
  bool TakeStatusLine(absl::string_view line);
  bool TakeField(absl::string_view line);
  void ReadBody();
  void ReadChunks();
  // Takes at most `size` bytes of what is there into the body.
  void TakeBody(uint64_t size);
  void AtEnd();

  State state_ = State::kHead;
  std::string in_;
  int status_ = 0, informational_ = 0;
  std::string location_, body_, error_;
  Framing framing_ = Framing::kUntilClosed;
  uint64_t left_ = 0;  // of the body, or of a chunk
};

}  // namespace meltemi::kubelet
