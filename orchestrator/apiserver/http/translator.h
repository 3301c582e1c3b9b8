// What stands in a tunnel between a client and a peer that speak different protocols: bytes in from
// either side, bytes out to both.
//
// Belongs to one tunnel, is called on its loop, does no IO of its own. Back-pressure is the
// tunnel's: while one side takes no more, the other is not read.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/bytes/buffer.h"
#include "kube/status/status.h"

namespace meltemi::apiserver {

class Translator {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;  // names in lower case
  struct Out {
    Buffer to_client, to_peer;
    // Nothing follows: the directions end, and with both the tunnel.
    bool end_client = false, end_peer = false;
  };

  virtual ~Translator() = default;
  // How the peer is asked; instead of the client's method and its fields about the upgrade.
  virtual std::string PeerMethod() const = 0;
  virtual Fields PeerFields() const = 0;
  // The peer has agreed, with these fields; gives those of the client's 101. What has to be said
  // first goes to `out`.
  virtual kube::Result<Fields> OnUpgraded(const Fields& peer, Out& out) = 0;
  // Takes all of `data`. `end`: the side has gone or says no more.
  virtual void FromClient(Buffer& data, bool end, Out& out) = 0;
  virtual void FromPeer(Buffer& data, bool end, Out& out) = 0;
};

}  // namespace meltemi::apiserver
