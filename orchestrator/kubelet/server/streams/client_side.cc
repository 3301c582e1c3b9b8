#include "orchestrator/kubelet/server/streams/client_side.h"

namespace meltemi::kubelet {

void ClientSide::Receive(Buffer& data, bool end, Out& out) {
  if (over_) return data.Clear();
  out_ = &out;
  if (absl::Status status = reader_.Receive(data); !status.ok()) {
    Finish(kWebSocketProtocolError, status.message(), out);
  }
  if (end) Finish(kWebSocketNormal, "", out);
  out_ = nullptr;
}

void ClientSide::Finish(uint16_t code, absl::string_view why, Out& out) {
  if (over_) return;
  over_ = true;
  AppendWebSocketClose(code, why, out.to_client);
  out.end_client = out.end_peer = true;
}

void ClientSide::OnMessage(Buffer& data, bool begins, bool ends) {
  if (!over_) on_piece_(data, begins, ends, *out_);
}

void ClientSide::OnPing(absl::string_view payload) {
  if (!over_) AppendWebSocketPong(payload, out_->to_client);
}

void ClientSide::OnClose(uint16_t code) { Finish(kWebSocketNormal, "", *out_); }

}  // namespace meltemi::kubelet
