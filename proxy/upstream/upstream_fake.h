// The seams of the upstream side for tests: connections in memory, names that a test answers,
// attempts that record what they hear.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/net/connection_fake.h"
#include "base/net/dns.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"
#include "proxy/upstream/pool/connector.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Keeps what it connected, in order. `connection` is valid until `peer->closed`.
class FakeConnector final : public Connector {
 public:
  struct Made {
    net::Address to;
    net::FakeConnection* connection;
    std::shared_ptr<net::FakePeer> peer;
  };
  std::unique_ptr<net::Connection> Connect(Loop& loop, const net::Address& to, const net::Address&,
                                           const net::ConnectionLimits& limits) const override {
    auto peer = std::make_shared<net::FakePeer>();
    auto connection =
        std::make_unique<net::FakeConnection>(loop, peer, /*connected=*/false, limits);
    connection->remote = to;
    made_->push_back({to, connection.get(), peer});
    return connection;
  }
  std::vector<Made>& made() const { return *made_; }

 private:
  std::unique_ptr<std::vector<Made>> made_ = std::make_unique<std::vector<Made>>();
};

class FakeDnsResolver final : public net::DnsResolver {
 public:
  struct Query final : net::DnsQuery {
    explicit Query(FakeDnsResolver& owner, std::string name)
        : owner(owner), name(std::move(name)) {}
    ~Query() override {
      if (owner.pending_[name] == this) owner.pending_.erase(name);
    }
    FakeDnsResolver& owner;
    std::string name;
    Callback callback;
  };
  std::unique_ptr<net::DnsQuery> Resolve(const std::string& name, net::DnsFamily,
                                         Callback on_done) override {
    auto query = std::make_unique<Query>(*this, name);
    query->callback = std::move(on_done);
    pending_[name] = query.get();
    ++queries[name];
    return query;
  }
  // False when nobody asks for the name.
  bool Answer(const std::string& name, absl::StatusOr<net::DnsAnswer> answer) {
    auto it = pending_.find(name);
    if (it == pending_.end() || it->second == nullptr) return false;
    Callback callback = std::move(it->second->callback);
    pending_.erase(it);
    callback(std::move(answer));
    return true;
  }
  std::map<std::string, int> queries;

 private:
  std::map<std::string, Query*> pending_;
};

class RecordedAttempt final : public AttemptEvents {
 public:
  void OnAttemptHost(const Host& host) override {
    this->host = host.config.address.ToString();
    events.push_back("host " + this->host);
  }
  void OnAttemptSent(const net::Address&, http::Protocol) override { events.push_back("sent"); }
  void OnAttemptInformational(http::HeaderMapPtr headers) override {
    events.push_back(absl::StrCat("informational ", headers->status()));
  }
  void OnAttemptHeaders(http::HeaderMapPtr headers, bool end_stream) override {
    status = headers->status();
    response = std::move(headers);
    events.push_back(absl::StrCat("headers ", status));
    complete = end_stream;
    if (on_headers) on_headers();
  }
  void OnAttemptData(Buffer& data, bool end_stream) override {
    body += data.ToString();
    data.Clear();
    complete = end_stream;
  }
  void OnAttemptTrailers(http::HeaderMapPtr) override { complete = true; }
  void OnAttemptFailed(StreamError error, absl::string_view detail) override {
    failed = error;
    this->detail = std::string(detail);
    events.push_back("failed");
  }
  void OnAttemptWriteBlocked(bool blocked) override {
    events.push_back(blocked ? "blocked" : "unblocked");
  }

  // What the caller of an attempt holds: the request's headers must outlive it.
  http::HeaderMapPtr request = http::HeaderMap::New();
  std::unique_ptr<Attempt> attempt;
  std::vector<std::string> events;
  std::string host, body, detail;
  int status = 0;
  http::HeaderMapPtr response;
  bool complete = false;
  StreamError failed = StreamError::kNone;
  std::function<void()> on_headers;
};

inline EndpointConfig TestEndpoint(absl::string_view ip_port, uint32_t weight = 1,
                                   uint32_t priority = 0) {
  EndpointConfig endpoint;
  endpoint.address = *net::Address::Parse(ip_port);
  endpoint.port = endpoint.address.port();
  endpoint.weight = weight;
  endpoint.priority = priority;
  return endpoint;
}

inline std::shared_ptr<EndpointsConfig> TestEndpoints(std::vector<EndpointConfig> endpoints) {
  auto config = std::make_shared<EndpointsConfig>();
  config->endpoints = std::move(endpoints);
  return config;
}

}  // namespace meltemi::proxy
