#include "orchestrator/kubelet/server/streams/remote_command.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/server/streams/client_side.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/spdy.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {
namespace {

enum Channel : uint8_t { kStdin, kStdout, kStderr, kError, kResize, kChannels };
constexpr uint8_t kCloseChannel = 255;
constexpr absl::string_view kStreamTypes[kChannels] = {"stdin", "stdout", "stderr", "error",
                                                       "resize"};
// The order in which Kubernetes' clients open them.
constexpr Channel kOrder[] = {kError, kStdin, kStdout, kStderr, kResize};

class RemoteCommand final : public apiserver::Translator, private SpdyEvents {
 public:
  RemoteCommand(std::string key, std::string protocol, const Runtime::StreamOptions& options)
      : key_(std::move(key)), protocol_(std::move(protocol)) {
    streams_[kStdin].wanted = options.in;
    streams_[kStdout].wanted = options.out;
    streams_[kStderr].wanted = options.err && !options.tty;
    streams_[kError].wanted = true;
    streams_[kResize].wanted = options.tty;
  }

  std::string PeerMethod() const override { return "POST"; }
  Fields PeerFields() const override { return SpdyRequest(kRemoteCommandV4); }

  kube::Result<Fields> OnUpgraded(const Fields& peer, Out& out) override {
    const kube::Result<std::string> version = SpdyVersion(peer);
    if (!version.ok()) return version.status();
    if (*version != kRemoteCommandV4) {
      return kube::InternalError(
          absl::StrCat("unable to upgrade: the runtime speaks \"", *version, "\""));
    }
    uint32_t id = 1;
    for (const Channel channel : kOrder) {
      Stream& stream = streams_[channel];
      if (!stream.wanted) continue;
      stream.id = id;
      stream.from_peer = stream.to_peer = true;
      spdy_out_.SynStream(id, {{"streamtype", std::string(kStreamTypes[channel])}}, false,
                          out.to_peer);
      id += 2;
    }
    return WebSocketAgreement(key_, protocol_);
  }

  void FromClient(Buffer& data, bool end, Out& out) override { client_.Receive(data, end, out); }

  void FromPeer(Buffer& data, bool end, Out& out) override {
    if (client_.over()) return data.Clear();
    out_ = &out;
    if (absl::Status status = spdy_in_.Receive(data); !status.ok()) {
      Finish(kWebSocketInternalError, status.message());
    }
    if (end) FinishAsToldByPeer();
    out_ = nullptr;
  }

 private:
  struct Stream {
    bool wanted = false;
    uint32_t id = 0;
    bool from_peer = false, to_peer = false;  // what may still come
  };

  void OnPiece(Buffer& data, bool begins, Out& out) {
    if (begins) channel_ = -1;
    if (channel_ < 0) {
      if (data.empty()) return;
      channel_ = static_cast<uint8_t>(data.Front()[0]);
      data.Drain(1);
    }
    if (data.empty()) return;
    if (channel_ == kCloseChannel) {
      // The byte after it is the stream that is closed.
      const uint8_t closed = static_cast<uint8_t>(data.Front()[0]);
      if (closed < kChannels && protocol_ == kRemoteCommandV5) CloseToPeer(closed, out);
      channel_ = kChannels;
    } else if (channel_ == kStdin || channel_ == kResize) {
      const Stream& stream = streams_[static_cast<size_t>(channel_)];
      if (stream.to_peer) spdy_out_.Data(stream.id, data, false, out.to_peer);
    }
  }

  // --- SpdyEvents
  void OnData(uint32_t id, Buffer& data, bool fin) override {
    const int channel = ChannelOf(id);
    if (client_.over() || channel < 0 || !streams_[static_cast<size_t>(channel)].from_peer) return;
    if (channel != kStdin && channel != kResize && !data.empty()) {
      told_status_ |= channel == kError;
      const char prefix = static_cast<char>(channel);
      AppendWebSocketMessage({&prefix, 1}, data, out_->to_client);
    }
    if (fin) EndFromPeer(static_cast<size_t>(channel));
  }

  void OnControl(const SpdyControl& frame) override {
    if (client_.over()) return;
    const int channel = ChannelOf(frame.stream);
    switch (frame.type) {
      case SpdyType::kPing:
        // Those of the server are even.
        if (frame.value % 2 == 0) spdy_out_.Ping(frame.value, out_->to_peer);
        return;
      case SpdyType::kSynStream:
        return spdy_out_.RstStream(frame.stream, kSpdyRefusedStream, out_->to_peer);
      case SpdyType::kRstStream:
        if (channel < 0) return;
        streams_[static_cast<size_t>(channel)].to_peer = false;
        return EndFromPeer(static_cast<size_t>(channel));
      case SpdyType::kSynReply:
      case SpdyType::kHeaders:
        if (frame.fin && channel >= 0) EndFromPeer(static_cast<size_t>(channel));
        return;
      default:
        return;
    }
  }

  int ChannelOf(uint32_t id) const {
    for (size_t channel = 0; channel < kChannels; ++channel) {
      if (streams_[channel].id == id && id != 0) return static_cast<int>(channel);
    }
    return -1;
  }

  void CloseToPeer(size_t channel, Out& out) {
    Stream& stream = streams_[channel];
    if (!stream.to_peer) return;
    stream.to_peer = false;
    Buffer nothing;
    spdy_out_.Data(stream.id, nothing, true, out.to_peer);
  }

  // Once nothing can come any more, it is over, although the connection may still be open.
  void EndFromPeer(size_t channel) {
    streams_[channel].from_peer = false;
    for (const Channel source : {kStdout, kStderr, kError}) {
      if (streams_[source].from_peer) return;
    }
    FinishAsToldByPeer();
  }

  // The status comes before every orderly end.
  void FinishAsToldByPeer() {
    if (told_status_) return Finish(kWebSocketNormal, "");
    Finish(kWebSocketInternalError, "the runtime has ended the connection");
  }

  void Finish(uint16_t code, absl::string_view why) { client_.Finish(code, why, *out_); }

  const std::string key_, protocol_;
  std::array<Stream, kChannels> streams_;
  SpdyReader spdy_in_{*this};
  SpdyWriter spdy_out_;
  ClientSide client_{
      [this](Buffer& data, bool begins, bool, Out& out) { OnPiece(data, begins, out); }};
  Out* out_ = nullptr;  // while the peer's bytes are looked at
  int channel_ = -1;    // of the client's message; kChannels: what is left of it is nothing
  bool told_status_ = false;
};

}  // namespace

std::shared_ptr<apiserver::Translator> NewRemoteCommandTranslator(
    const std::string& key, const std::string& protocol, const Runtime::StreamOptions& options) {
  return std::make_shared<RemoteCommand>(key, protocol, options);
}

}  // namespace meltemi::kubelet
