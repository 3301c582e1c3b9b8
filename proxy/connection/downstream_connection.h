// A connection from downstream as its listener sees it, whatever is spoken on it.
//
// Loop-owned. The owner keeps it in a ConnectionSet; it asks its set to be deleted when it is over.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "base/loop/loop.h"

namespace meltemi::proxy {

class ConnectionSet;

class DownstreamConnection : public Deferrable {
 public:
  // Takes up what has been read already (somebody may have looked at the first bytes), and whether
  // that was all. After it was put into its set.
  virtual void Start(bool end_of_stream) = 0;
  // Begins an orderly end: no request in flight is lost; idle ones end within the drain time.
  virtual void Drain() = 0;
  // Ends now, breaking off what is under way.
  virtual void CloseNow() = 0;

 private:
  friend class ConnectionSet;
  size_t index_in_set_ = 0;
};

// Owns connections; adding and removing cost nothing but a swap.
class ConnectionSet {
 public:
  explicit ConnectionSet(Loop& loop) : loop_(loop) {}
  ~ConnectionSet();
  ConnectionSet(const ConnectionSet&) = delete;
  ConnectionSet& operator=(const ConnectionSet&) = delete;

  DownstreamConnection& Add(std::unique_ptr<DownstreamConnection> connection);
  // Takes it out and deletes it at the end of the turn.
  void Remove(DownstreamConnection& connection);
  size_t size() const { return connections_.size(); }
  // `f` may lead to removals.
  template <typename F>
  void ForEach(F&& f) {
    std::vector<DownstreamConnection*> all;
    all.reserve(connections_.size());
    for (const auto& connection : connections_) all.push_back(connection.get());
    for (DownstreamConnection* connection : all) f(*connection);
  }

 private:
  Loop& loop_;
  std::vector<std::unique_ptr<DownstreamConnection>> connections_;
};

}  // namespace meltemi::proxy
