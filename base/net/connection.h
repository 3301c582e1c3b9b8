// One byte-stream connection: reads and writes on a loop without blocking, with limits.
//
// Loop-owned. A Connection never calls its handler from inside a call that the handler's side makes
// into it (Close, FlushSoon, PauseReading …): events come from the loop. The owner deletes it
// through Loop::DeferDelete, never directly from a handler callback.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/loop/loop.h"
#include "base/net/address.h"

namespace meltemi::net {

enum class CloseCause : uint8_t {
  kRemoteClosed,   // the peer closed in order (both directions are over)
  kRemoteReset,    // ECONNRESET, EPIPE …
  kConnectFailed,  // refused, unreachable …
  kLocalClosed,    // Close() has finished (after its flush)
};

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  // A client connection is established. Not called for accepted ones.
  virtual void OnConnected() {}
  // New bytes, or the peer's end of stream (end_of_stream stays true from then on). Take what you
  // can use out of `in`; what is left stays there and is offered again with what comes next. When
  // you leave bytes because you can't go on, PauseReading(true), or `in` is read up to the limit.
  virtual void OnRead(Buffer& in, bool end_of_stream) = 0;
  // `blocked`: the output buffer has passed its high watermark; false: it is below the low one
  // again.
  virtual void OnWriteBlocked(bool blocked) {}
  // The output buffer has become empty after having had something to write.
  virtual void OnDrained() {}
  // The last call. `detail` names the system error where there is one.
  virtual void OnClosed(CloseCause cause, absl::string_view detail) = 0;
};

struct ConnectionLimits {
  // Reading stops while this many bytes lie unread by the handler.
  size_t read_buffer_bytes_max = 1024 * 1024;
  // OnWriteBlocked(true) above, (false) at half of it.
  size_t write_buffer_bytes_high = 256 * 1024;
};

struct TcpKeepalive {
  int probes = 0;  // 0: the kernel's default
  int idle_seconds = 0;
  int interval_seconds = 0;
};

class Connection : public Deferrable {
 public:
  // Must be called before the loop's next turn; the handler outlives the connection, or is replaced
  // by nullptr (then events are dropped).
  virtual void SetHandler(ConnectionHandler* handler) = 0;

  // What has been received and not been taken yet. After resuming, OnRead is called again when this
  // is not empty or the stream ended.
  virtual Buffer& input() = 0;
  // Append here, then FlushSoon(): all that one turn produced goes out in one gathered write at the
  // end of the turn.
  virtual Buffer& output() = 0;
  virtual void FlushSoon() = 0;

  // Stops or resumes OnRead. While paused the peer's close is noticed only by OnClosed on reset.
  virtual void PauseReading(bool paused) = 0;
  virtual bool reading_paused() const = 0;

  // Half-close: FIN after what is in output(). Reading goes on.
  virtual void CloseWrite() = 0;
  // Flushes output() (bounded by `flush_timeout`), then closes; OnClosed(kLocalClosed) follows from
  // the loop. Reading stops at once; what still arrives meanwhile is read and thrown away
  // (bounded), so that the peer sees our last bytes and not a reset.
  virtual void Close(Duration flush_timeout) = 0;
  // Closes at once with a reset (RST); no OnClosed follows.
  virtual void Abort() = 0;

  virtual const Address& local_address() const = 0;
  virtual const Address& remote_address() const = 0;
  virtual int fd() const = 0;
  virtual bool connected() const = 0;
  virtual uint64_t bytes_read() const = 0;
  virtual uint64_t bytes_written() const = 0;
  virtual void SetKeepalive(const TcpKeepalive& keepalive) = 0;
};

// Takes over `fd` (accepted, non-blocking is set here; TCP_NODELAY too).
std::unique_ptr<Connection> NewServerConnection(Loop& loop, int fd, const Address& remote,
                                                const ConnectionLimits& limits);
// Begins to connect; success or failure is told by OnConnected or OnClosed(kConnectFailed), also
// when the failure is immediate. `source` may be unset. Connect time-outs are the caller's.
std::unique_ptr<Connection> NewClientConnection(Loop& loop, const Address& to,
                                                const Address& source,
                                                const ConnectionLimits& limits);

}  // namespace meltemi::net
