// What is being sent as the answer to one request: a body, a watch, or what a peer says.
//
// Loop-owned, by its Exchange. Destroyed when the exchange is over, whoever ended it.
#pragma once

#include "base/bytes/buffer.h"
#include "base/loop/loop.h"

namespace meltemi::apiserver {

class Answer : public Deferrable {
 public:
  // More of the request: only where the answer is a tunnel.
  virtual void OnClientData(Buffer& data, bool end_stream) { data.Clear(); }
  // The client takes nothing more (true), or takes again (false).
  virtual void OnClientBlocked(bool blocked) {}
  // The server is about to stop: what has no end of its own ends.
  virtual void Drain() {}
};

}  // namespace meltemi::apiserver
