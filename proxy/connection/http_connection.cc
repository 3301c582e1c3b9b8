#include "proxy/connection/http_connection.h"

#include <utility>

#include "base/log/log.h"
#include "proxy/connection/worker_context.h"
#include "proxy/listener/sniffer.h"
#include "proxy/observe/tls_info.h"
#include "proxy/stream/stream.h"
#include "proxy/stream/stream_pool.h"

namespace meltemi::proxy {
namespace {

// Bytes that the codec can't use yet may pile up to this before reading stops. Reading on (and not
// stopping at once) is how a client that goes away while it waits is noticed.
constexpr size_t kUnusedInputMax = 16 * 1024;

}  // namespace

HttpConnection::HttpConnection(ConnectionSet& set, std::shared_ptr<HttpRuntime> runtime,
                               std::unique_ptr<net::Connection> connection, DownstreamPeer peer,
                               absl::AnyInvocable<void()> on_end)
    : set_(set),
      runtime_(std::move(runtime)),
      peer_(std::move(peer)),
      connection_(std::move(connection)),
      on_end_(std::move(on_end)),
      opened_(runtime_->worker.loop.Now()) {
  connection_->SetHandler(this);
  const HttpConfig& config = runtime_->config;
  peer_.forwarded_as = (peer_.direct_remote.is_loopback() ? peer_.local : peer_.direct_remote).ip();
  if (config.codec == HttpConfig::Codec::kHttp1) MakeCodec(http::Protocol::kHttp11);
  if (config.codec == HttpConfig::Codec::kHttp2) MakeCodec(http::Protocol::kHttp2);
  // Agreed on in the handshake; without that the first bytes tell.
  if (config.codec == HttpConfig::Codec::kAuto && peer_.tls != nullptr && peer_.tls->alpn == "h2") {
    MakeCodec(http::Protocol::kHttp2);
  }
  if (config.connection_duration_max.has_value()) {
    ArmTimer(max_timer_, *config.connection_duration_max, &HttpConnection::OnMaxDuration);
  }
  BecomeIdle();
}

HttpConnection::~HttpConnection() {
  if (state_ == State::kGone) return;
  connection_->SetHandler(nullptr);
  Gone(false);
}

void HttpConnection::Start(bool end_of_stream) {
  if (end_of_stream || !connection_->input().empty()) OnRead(connection_->input(), end_of_stream);
}

void HttpConnection::ArmTimer(std::unique_ptr<Timer>& timer, Duration after,
                              void (HttpConnection::*on_fire)()) {
  if (after <= Duration(0)) return;
  if (timer == nullptr) timer = loop().NewTimer([this, on_fire] { (this->*on_fire)(); });
  timer->Arm(after);
}

// ---- Reading ------------------------------------------------------------------------------------

void HttpConnection::OnRead(Buffer& in, bool end_of_stream) {
  end_of_stream_ |= end_of_stream;
  if (state_ == State::kSniffing && !ChooseCodec(in)) return;
  Feed();
}

bool HttpConnection::ChooseCodec(Buffer& in) {
  switch (LooksLikeHttp2(in)) {
    case PrefaceVerdict::kNeedMore:
      if (end_of_stream_) {
        if (in.empty())
          Close();
        else
          MakeCodec(http::Protocol::kHttp11);
      }
      WatchHeaders();
      break;
    case PrefaceVerdict::kHttp2:
      MakeCodec(http::Protocol::kHttp2);
      break;
    case PrefaceVerdict::kOther:
      MakeCodec(http::Protocol::kHttp11);
      break;
  }
  return state_ == State::kOpen;
}

void HttpConnection::MakeCodec(http::Protocol protocol) {
  const HttpConfig& config = runtime_->config;
  protocol_ = protocol;
  codec_ = protocol == http::Protocol::kHttp2
               ? http::NewHttp2ServerCodec(codec_side_, codec_side_, config.http2)
               : http::NewHttp1ServerCodec(codec_side_, codec_side_, config.http1);
  state_ = State::kOpen;
  runtime_->stats.OnConnection(protocol);
  if (draining_ && protocol == http::Protocol::kHttp2) {
    draining_ = false;
    Drain();
  }
}

void HttpConnection::Feed() {
  if (state_ != State::kOpen || feeding_) return;
  feeding_ = true;
  const absl::Status status = codec_->Receive(connection_->input(), end_of_stream_);
  feeding_ = false;
  if (state_ != State::kOpen) return;
  if (!status.ok()) {
    runtime_->stats.downstream_cx_protocol_error.Inc();
    LOG(kDebug, "http", "connection ", peer_.connection_id, " from ",
        peer_.direct_remote.ToString(), ": ", status.message());
    return Close();
  }
  AfterFeed();
}

void HttpConnection::AfterFeed() {
  if (codec_->finished()) return Close();
  if (end_of_stream_ && streams_.empty()) return Close();
  WatchHeaders();
  SteerReading();
}

void HttpConnection::SteerReading() {
  const bool stuck = !codec_->wants_input() && connection_->input().size() >= kUnusedInputMax;
  if (stuck != connection_->reading_paused()) connection_->PauseReading(stuck);
}

// A request has begun to arrive and its headers are not there yet.
void HttpConnection::WatchHeaders() {
  const Duration limit = runtime_->config.request_headers_timeout;
  if (limit <= Duration(0) || state_ == State::kClosing) return;
  const bool waiting = streams_.empty() && !connection_->input().empty();
  const bool armed = headers_timer_ != nullptr && headers_timer_->armed();
  if (waiting && !armed) ArmTimer(headers_timer_, limit, &HttpConnection::OnHeadersTimeout);
  if (!waiting && armed) headers_timer_->Disarm();
}

void HttpConnection::OnWriteBlocked(bool blocked) {
  if (state_ == State::kOpen) codec_->OnTransportBlocked(blocked);
}

// ---- Streams ------------------------------------------------------------------------------------

http::StreamReceiver* HttpConnection::NewStream(http::Stream& codec_stream) {
  const HttpConfig& config = runtime_->config;
  if (idle_timer_ != nullptr) idle_timer_->Disarm();
  ++requests_;
  if (config.requests_per_connection_max > 0 && requests_ >= config.requests_per_connection_max) {
    if (!draining_) runtime_->stats.downstream_cx_max_requests_reached.Inc();
    Drain();
  }
  if (runtime_->worker.draining) Drain();
  Stream* stream = runtime_->streams.Acquire();
  streams_.push_back({&codec_stream, stream});
  stream->Begin(runtime_, peer_, codec_stream);
  // HTTP/1 is told only now, so that this answer is the one that says "Connection: close".
  if (draining_ && !drain_told_) {
    drain_told_ = true;
    codec_->StartDrain();
  }
  return stream;
}

Stream* HttpConnection::TakeStream(http::Stream& codec_stream) {
  for (size_t i = streams_.size(); i-- > 0;) {
    if (streams_[i].codec_stream != &codec_stream) continue;
    Stream* const stream = streams_[i].stream;
    streams_[i] = streams_.back();
    streams_.pop_back();
    return stream;
  }
  return nullptr;
}

void HttpConnection::FinishStream(http::Stream& codec_stream) {
  Stream* const stream = TakeStream(codec_stream);
  if (stream == nullptr) {
    BUG_ONCE("the codec finished a stream that is not open");
    return;
  }
  stream->End();
  runtime_->streams.Release(stream);
  CountBytes();
  if (streams_.empty()) BecomeIdle();
}

void HttpConnection::EndAllStreams() {
  std::vector<OpenStream> open = std::move(streams_);
  streams_.clear();
  for (const OpenStream& entry : open) {
    entry.stream->End();
    runtime_->streams.Release(entry.stream);
  }
}

void HttpConnection::BecomeIdle() {
  ArmTimer(idle_timer_, runtime_->config.idle_timeout, &HttpConnection::OnIdleTimeout);
}

// ---- Time-outs and drain ------------------------------------------------------------------------

void HttpConnection::Drain() {
  if (draining_ || state_ == State::kClosing || state_ == State::kGone) return;
  draining_ = true;
  ArmTimer(drain_timer_, runtime_->config.drain_timeout, &HttpConnection::OnDrainTimeout);
  if (state_ != State::kOpen) return;
  // An idle HTTP/1 connection may have a request on its way at this very moment: it gets an answer,
  // and with it the word that it was the last.
  if (protocol_ == http::Protocol::kHttp2 || !streams_.empty()) {
    drain_told_ = true;
    codec_->StartDrain();
  }
}

void HttpConnection::OnDrainTimeout() {
  if (state_ != State::kOpen) return Close();
  runtime_->stats.downstream_cx_drain_close.Inc();
  drain_told_ = true;
  codec_->FinishDrain();
  if (codec_->finished() || streams_.empty()) Close();
}

void HttpConnection::OnIdleTimeout() {
  runtime_->stats.downstream_cx_idle_timeout.Inc();
  if (protocol_ == http::Protocol::kHttp2 && codec_ != nullptr) {
    codec_->StartDrain();
    codec_->FinishDrain();
  }
  Close();
}

void HttpConnection::OnMaxDuration() {
  runtime_->stats.downstream_cx_max_duration_reached.Inc();
  Drain();
}

void HttpConnection::OnHeadersTimeout() {
  runtime_->stats.OnError(StreamError::kRequestHeaderTimeout);
  if (protocol_ != http::Protocol::kHttp2) {
    // There is no stream that could answer.
    connection_->output().Append(
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  }
  Close();
}

// ---- The end ------------------------------------------------------------------------------------

void HttpConnection::Close() {
  if (state_ == State::kClosing || state_ == State::kGone) return;
  const bool was_open = state_ == State::kOpen;
  state_ = State::kClosing;
  if (was_open) codec_->OnConnectionClosed(http::ResetCause::kConnectionLost, "connection closed");
  EndAllStreams();
  const Duration delay = runtime_->config.delayed_close_timeout;
  connection_->Close(delay > Duration(0) ? delay : milliseconds(1));
}

void HttpConnection::CloseNow() {
  if (state_ == State::kGone) return;
  connection_->SetHandler(nullptr);
  connection_->Abort();
  Gone(false);
  set_.Remove(*this);
}

void HttpConnection::OnClosed(net::CloseCause cause, absl::string_view detail) {
  Gone(cause != net::CloseCause::kLocalClosed);
  set_.Remove(*this);
}

void HttpConnection::Gone(bool by_remote) {
  const size_t open = streams_.size();
  const bool was_open = state_ == State::kOpen;
  state_ = State::kGone;
  if (was_open) {
    codec_->OnConnectionClosed(http::ResetCause::kConnectionLost,
                               by_remote ? "remote disconnect" : "connection closed");
  }
  EndAllStreams();
  CountBytes();
  if (codec_ != nullptr) {
    runtime_->stats.OnConnectionEnd(protocol_, by_remote, open, loop().Now() - opened_);
  }
  for (Timer* timer :
       {idle_timer_.get(), max_timer_.get(), drain_timer_.get(), headers_timer_.get()}) {
    if (timer != nullptr) timer->Disarm();
  }
  if (on_end_) std::exchange(on_end_, nullptr)();
}

void HttpConnection::CountBytes() {
  const uint64_t read = connection_->bytes_read();
  const uint64_t written = connection_->bytes_written();
  runtime_->stats.downstream_cx_rx_bytes_total.Add(read - bytes_read_counted_);
  runtime_->stats.downstream_cx_tx_bytes_total.Add(written - bytes_written_counted_);
  bytes_read_counted_ = read;
  bytes_written_counted_ = written;
}

}  // namespace meltemi::proxy
