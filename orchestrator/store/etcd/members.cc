#include "orchestrator/store/etcd/members.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace meltemi::store {
namespace {

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // A page of objects is larger than gRPC's default of 4 MiB.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // A member that comes back is found again within a second.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A member that is gone without a word (its machine, the network) is noticed by a watch.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  // No proxy from the environment stands between us and the cluster.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

absl::Status BadEndpoint(absl::string_view endpoint) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", endpoint, "\" is no etcd endpoint: write https://HOST:PORT or http://HOST:PORT"));
}

absl::StatusOr<std::unique_ptr<Member>> MakeMember(absl::string_view endpoint,
                                                   const EtcdOptions& options) {
  absl::string_view address = endpoint;
  bool tls = !options.ca_pem.empty() || !options.certificate_pem.empty();
  if (absl::ConsumePrefix(&address, "https://")) {
    tls = true;
  } else if (absl::ConsumePrefix(&address, "http://")) {
    tls = false;
  }
  absl::ConsumeSuffix(&address, "/");
  if (address.empty() || absl::StrContains(address, "/") || !absl::StrContains(address, ":")) {
    return BadEndpoint(endpoint);
  }
  auto member = std::make_unique<Member>();
  member->address = std::string(address);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (tls) {
    credentials = grpc::SslCredentials({.pem_root_certs = options.ca_pem,
                                        .pem_private_key = options.key_pem,
                                        .pem_cert_chain = options.certificate_pem});
  }
  member->channel = grpc::CreateCustomChannel(member->address, credentials, Arguments());
  member->kv = etcdserverpb::KV::NewStub(member->channel);
  member->watch = etcdserverpb::Watch::NewStub(member->channel);
  member->lease = etcdserverpb::Lease::NewStub(member->channel);
  member->maintenance = etcdserverpb::Maintenance::NewStub(member->channel);
  return member;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // The codes of both libraries are the same numbers.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::StatusOr<std::unique_ptr<Members>> Members::Make(const EtcdOptions& options) {
  if (options.endpoints.empty()) {
    return absl::InvalidArgumentError("no etcd endpoint is given");
  }
  if (options.certificate_pem.empty() != options.key_pem.empty()) {
    return absl::InvalidArgumentError(
        "a certificate for etcd needs its key, and a key its certificate: give both or none");
  }
  std::vector<std::unique_ptr<Member>> members;
  for (const std::string& endpoint : options.endpoints) {
    auto member = MakeMember(endpoint, options);
    if (!member.ok()) return member.status();
    members.push_back(*std::move(member));
  }
  return std::unique_ptr<Members>(new Members(std::move(members)));
}

absl::StatusOr<Member*> Members::Connected(Duration wait) {
  const size_t preferred = preferred_;
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = *members_[(preferred + i) % members_.size()];
    if (member.channel->GetState(true) == GRPC_CHANNEL_READY) return &member;
  }
  // All are trying to connect now: look at each for a moment, round after round.
  constexpr Duration kTurn = milliseconds(50);
  for (Duration waited{}; waited < wait; waited += kTurn * members_.size()) {
    for (size_t i = 0; i < members_.size(); ++i) {
      const size_t index = (preferred + i) % members_.size();
      Member& member = *members_[index];
      if (!member.channel->WaitForConnected(std::chrono::system_clock::now() + kTurn)) continue;
      preferred_ = index;
      return &member;
    }
  }
  std::vector<absl::string_view> addresses;
  for (const auto& member : members_) addresses.push_back(member->address);
  return absl::UnavailableError(absl::StrCat("no member of the etcd cluster can be reached (",
                                             absl::StrJoin(addresses, ", "),
                                             "): is it running, and do its certificates fit?"));
}

void Members::Leave(const Member* member) {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].get() == member) preferred_ = (i + 1) % members_.size();
  }
}

}  // namespace meltemi::store
