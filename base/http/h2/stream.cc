// What the user of an HTTP/2 stream does: everything is submitted, nothing is written here.

#include <utility>

#include "base/http/h2/connection.h"

namespace meltemi::http::h2 {

void Http2Stream::SendInformational(const HeaderMap& headers) {
  if (closed_ || finish_ || headers_sent_ || !connection_.is_server()) return;
  connection_.SubmitInformational(*this, headers);
}

void Http2Stream::SendHeaders(const HeaderMap& headers, bool end_stream) {
  if (closed_ || finish_ || headers_sent_) return;
  headers_sent_ = true;
  send_ended_ = end_stream;
  connection_.SubmitHeaders(*this, headers, end_stream);
}

void Http2Stream::SendData(Buffer& data, bool end_stream) {
  if (closed_ || finish_ || send_ended_ || drop_sends_) {
    data.Clear();
    return;
  }
  send_buffer_.MoveFrom(data);
  send_ended_ = end_stream;
  connection_.ResumeData(*this);
  if (!told_blocked_ && send_buffer_.size() > connection_.limits().write_high_bytes) {
    connection_.Due(*this);
  }
}

void Http2Stream::SendTrailers(const HeaderMap& trailers) {
  if (closed_ || finish_ || send_ended_ || drop_sends_) return;
  send_ended_ = true;
  connection_.SubmitTrailers(*this, trailers);
}

void Http2Stream::Reset(ResetCause cause) {
  if (finish_ || abandoned_) return;
  abandoned_ = true;
  connection_.Abandon(*this, cause);
}

void Http2Stream::PauseReading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (!paused) connection_.Due(*this);
}

}  // namespace meltemi::http::h2
