// The names of a cluster: services, their endpoints, pods by address, and addresses back to names.
//
// Threads: thread-safe; a change holds the lock for as long as it takes to swap one service.
// Source: the DNS-based service discovery specification 1.1.0; CoreDNS' kubernetes plugin for what
// it leaves open (pods by any address, names of endpoints without a hostname).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "orchestrator/dns/wire/message.h"
#include "orchestrator/dns/wire/name.h"

namespace meltemi::dns {

struct PortRecord {
  std::string name, protocol;  // small letters; the name may be empty
  uint16_t port = 0;
};

// An address in network order; there may be a hundred thousand of them.
class IpBytes {
 public:
  IpBytes() = default;
  explicit IpBytes(absl::string_view bytes) : size_(static_cast<uint8_t>(bytes.size())) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  bool empty() const { return size_ == 0; }
  absl::string_view view() const { return absl::string_view(bytes_.data(), size_); }
  bool operator==(const IpBytes& o) const { return view() == o.view(); }
  template <typename H>
  friend H AbslHashValue(H h, const IpBytes& ip) {
    return H::combine(std::move(h), ip.view());
  }

 private:
  std::array<char, 16> bytes_{};
  uint8_t size_ = 0;  // 4 or 16; 0: none
};

struct EndpointRecord {
  IpBytes address;
  uint32_t ports = 0;  // which of the service's port sets
};

struct ServiceRecord {
  std::string ns, name;
  std::vector<IpBytes> addresses;  // of the cluster
  bool headless = false;
  Name external;                          // of type ExternalName
  std::vector<PortRecord> ports;          // where it has an address of its own
  std::vector<EndpointRecord> endpoints;  // ready ones
  std::vector<std::vector<PortRecord>> endpoint_ports;
  // Of endpoints, by their place; where there is none the address with dashes stands in.
  std::map<size_t, std::string> hostnames;
};

struct RecordsOptions {
  std::string domain = "cluster.local";
  uint32_t ttl_s = 30;
};

enum class Answered : uint8_t {
  kDone,       // all of it is written
  kElsewhere,  // no name of the cluster: nothing is written
  kExternal,   // the name is written as another one's alias, whose addresses are to be added
};

class Records {
 public:
  explicit Records(const RecordsOptions& options);

  void SetService(std::unique_ptr<ServiceRecord> service);
  void RemoveService(absl::string_view ns, absl::string_view name);
  void SetNamespace(absl::string_view ns, bool exists);

  // `writer` is new. `external`: of kExternal, what the alias stands for.
  Answered Answer(const Query& query, AnswerWriter* writer, Name* external) const;
  // Whether the name belongs to the cluster: nobody else is asked for it.
  bool Owns(absl::string_view name) const;

  size_t size() const;

 private:
  enum class Found : uint8_t { kName, kNothing, kExternal };
  struct Asked;
  // An address leads to a service, or to one of its endpoints.
  struct Owner {
    const ServiceRecord* service;
    int endpoint;  // its place, or kItself
  };

  const ServiceRecord* Find(absl::string_view ns, absl::string_view name) const;
  void Link(const ServiceRecord& service);
  void Unlink(const ServiceRecord& service);
  bool AnswerReverse(const Query& query, AnswerWriter* writer) const;
  Found AnswerName(const Asked& asked, int depth) const;
  Found AnswerApex(const Asked& asked) const;
  Found AnswerService(const Asked& asked, int depth) const;
  Found AnswerAlias(const Asked& asked, const ServiceRecord& service, int depth) const;
  Found AnswerEndpoint(const Asked& asked) const;
  Found AnswerPort(const Asked& asked) const;
  Found AnswerPod(const Asked& asked) const;
  void WriteAddress(const Asked& asked, const IpBytes& address) const;
  int WriteSrv(const Asked& asked, const ServiceRecord& service, absl::string_view port,
               absl::string_view protocol) const;
  static constexpr int kItself = -1;  // instead of an endpoint's place
  static std::string HostOf(const ServiceRecord& service, size_t endpoint);
  Name NameOf(const ServiceRecord& service, int endpoint) const;
  void WriteSoa(AnswerWriter* writer, AnswerWriter::Section section) const;

  const RecordsOptions options_;
  const Name zone_, primary_, mailbox_;
  const size_t zone_labels_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  absl::flat_hash_map<std::string, std::unique_ptr<ServiceRecord>> services_;  // "ns/name"
  absl::flat_hash_map<IpBytes, absl::InlinedVector<Owner, 1>> owners_;
  absl::flat_hash_set<std::string> namespaces_;
  uint32_t serial_ = 1;
  mutable uint32_t turn_ = 0;  // where the next list of endpoints begins
};

// Empty: neither IPv4 nor IPv6.
IpBytes AddressBytes(absl::string_view text);
// 4 bytes as "10-1-2-3", 16 as "fd00--1".
std::string DashedAddress(absl::string_view bytes);

}  // namespace meltemi::dns
