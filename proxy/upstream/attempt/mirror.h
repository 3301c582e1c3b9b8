// Copies of requests whose answers nobody waits for.
//
// Loop-owned. A stream asks WorkerClusters::StartMirror for a Mirror, feeds it copies of the body
// that it sends to the real destination, and lets go of it whenever it likes. A mirror never delays
// and never fails the request that it copies: when its host is slow and more than the limit waits
// for it, the copy is broken off and counted (meltemi_mirrors_dropped_total).
#pragma once

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

struct MirrorOptions {
  const http::HeaderMap* headers = nullptr;  // cloned
  bool end_stream = false;                   // no body follows
  bool append_shadow = true;                 // the authority's host gets "-shadow"
  Duration timeout{0};                       // of the whole copy; 0: none
  // As AttemptOptions::alpn.
  const std::shared_ptr<const AlpnOverride>* alpn = nullptr;
  BalanceContext balance;  // `tried` is not used
};

// Destroying it before the end of the body breaks the copy off; afterwards the copy goes on by
// itself.
class Mirror {
 public:
  virtual ~Mirror() = default;
  // Copies `data`.
  virtual void SendData(const Buffer& data, bool end_stream) = 0;
  virtual void SendTrailers(const http::HeaderMap& trailers) = 0;
};

}  // namespace meltemi::proxy
