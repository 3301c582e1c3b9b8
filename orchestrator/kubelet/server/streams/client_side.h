// The client's side of a translation: its WebSocket frames become messages, pings are answered, and
// what ends, ends once.
//
// Threads: see translator.h.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "orchestrator/apiserver/http/translator.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {

class ClientSide final : private WebSocketEvents {
 public:
  using Out = apiserver::Translator::Out;
  // A piece of a message, as WebSocketEvents tells it; none once it is over.
  using OnPiece = std::function<void(Buffer& data, bool begins, bool ends, Out& out)>;

  explicit ClientSide(OnPiece on_piece) : on_piece_(std::move(on_piece)) {}
  ClientSide(const ClientSide&) = delete;
  ClientSide& operator=(const ClientSide&) = delete;

  // Translator::FromClient.
  void Receive(Buffer& data, bool end, Out& out);
  // Says so to the client, and ends both directions; the first one counts.
  void Finish(uint16_t code, absl::string_view why, Out& out);
  // Nothing is said to the client any more.
  bool over() const { return over_; }

 private:
  void OnMessage(Buffer& data, bool begins, bool ends) override;
  void OnPing(absl::string_view payload) override;
  void OnClose(uint16_t code) override;

  const OnPiece on_piece_;
  WebSocketReader reader_{*this};
  Out* out_ = nullptr;  // while bytes are looked at
  bool over_ = false;
};

}  // namespace meltemi::kubelet
