#include "proxy/connection/downstream_connection.h"

namespace meltemi::proxy {

// Connections that are destroyed with the set do not take themselves out any more.
ConnectionSet::~ConnectionSet() {
  std::vector<std::unique_ptr<DownstreamConnection>> all = std::move(connections_);
  connections_.clear();
}

DownstreamConnection& ConnectionSet::Add(std::unique_ptr<DownstreamConnection> connection) {
  connection->index_in_set_ = connections_.size();
  connections_.push_back(std::move(connection));
  return *connections_.back();
}

void ConnectionSet::Remove(DownstreamConnection& connection) {
  const size_t index = connection.index_in_set_;
  if (index >= connections_.size() || connections_[index].get() != &connection) return;
  std::unique_ptr<DownstreamConnection> removed = std::move(connections_[index]);
  if (index + 1 != connections_.size()) {
    connections_[index] = std::move(connections_.back());
    connections_[index]->index_in_set_ = index;
  }
  connections_.pop_back();
  loop_.DeferDelete(std::move(removed));
}

}  // namespace meltemi::proxy
