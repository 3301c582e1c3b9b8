#include "orchestrator/dns/records/records.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace meltemi::dns {
namespace {

constexpr int kAliasesMax = 8;
constexpr char kSchemaVersion[] = "1.1.0";
constexpr uint32_t kRefresh = 7200, kRetry = 1800, kExpire = 86400;
constexpr size_t kIp4Labels = 6, kIp6Labels = 34;  // of a reverse name, with "in-addr.arpa"

using Section = AnswerWriter::Section;

// The address of which this is the reverse name; empty: it is none.
std::string ReverseAddress(const Labels& labels) {
  const size_t n = labels.size();
  if (n < 2 || labels[n - 1] != "arpa") return "";
  std::string bytes;
  if (labels[n - 2] == "in-addr" && n == kIp4Labels) {
    for (size_t i = 4; i-- > 0;) {
      uint32_t byte = 0;
      if (labels[i].size() > 3 || !absl::SimpleAtoi(labels[i], &byte) || byte > 255) return "";
      bytes += static_cast<char>(byte);
    }
  } else if (labels[n - 2] == "ip6" && n == kIp6Labels) {
    std::string digits;
    for (size_t i = 32; i-- > 0;) {
      if (labels[i].size() != 1) return "";
      absl::StrAppend(&digits, labels[i]);
    }
    for (size_t i = 0; i < 32; i += 2) {
      uint32_t byte = 0;
      if (!absl::SimpleHexAtoi(digits.substr(i, 2), &byte)) return "";
      bytes += static_cast<char>(byte);
    }
  }
  return bytes;
}

uint16_t TypeOf(const IpBytes& address) { return address.view().size() == 4 ? kTypeA : kTypeAaaa; }

// "_http" -> "http"; empty: it does not begin so.
absl::string_view Underscored(absl::string_view label) {
  return absl::ConsumePrefix(&label, "_") ? label : absl::string_view();
}

}  // namespace

// A question on its way through the tree: `rest` is what stands before the zone.
struct Records::Asked {
  absl::Span<const absl::string_view> rest;
  uint16_t type;
  absl::string_view owner;  // empty: the question's name
  AnswerWriter* writer;
  Name* external;
};

IpBytes AddressBytes(absl::string_view text) {
  std::array<char, 16> bytes;
  const std::string whole(text);
  if (inet_pton(AF_INET, whole.c_str(), bytes.data()) == 1) return IpBytes({bytes.data(), 4});
  if (inet_pton(AF_INET6, whole.c_str(), bytes.data()) == 1) return IpBytes({bytes.data(), 16});
  return IpBytes();
}

std::string DashedAddress(absl::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text;
  if (inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size()) ==
      nullptr) {
    return "";
  }
  std::string out(text.data());
  for (char& c : out) {
    if (c == '.' || c == ':') c = '-';
  }
  return out;
}

Records::Records(const RecordsOptions& options)
    : options_(options),
      zone_(NameFromText(options.domain)),
      primary_(NameFromText("ns.dns." + options.domain)),
      mailbox_(NameFromText("hostmaster." + options.domain)),
      zone_labels_(LabelsOf(zone_).size()) {}

void Records::SetService(std::unique_ptr<ServiceRecord> service) {
  std::string key = absl::StrCat(service->ns, "/", service->name);
  const std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<ServiceRecord>& place = services_[std::move(key)];
  if (place != nullptr) Unlink(*place);
  std::swap(place, service);  // the old one is freed after the lock
  Link(*place);
  ++serial_;
}

void Records::RemoveService(absl::string_view ns, absl::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = services_.find(absl::StrCat(ns, "/", name));
  if (found == services_.end()) return;
  Unlink(*found->second);
  services_.erase(found);
  ++serial_;
}

void Records::SetNamespace(absl::string_view ns, bool exists) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (exists) {
    namespaces_.emplace(ns);
  } else {
    namespaces_.erase(ns);
  }
  ++serial_;
}

size_t Records::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return services_.size();
}

void Records::Link(const ServiceRecord& service) {
  for (const IpBytes& address : service.addresses) {
    owners_[address].push_back({&service, kItself});
  }
  for (size_t i = 0; i < service.endpoints.size(); ++i) {
    owners_[service.endpoints[i].address].push_back({&service, static_cast<int>(i)});
  }
}

void Records::Unlink(const ServiceRecord& service) {
  const auto remove = [&](const IpBytes& address) {
    const auto found = owners_.find(address);
    if (found == owners_.end()) return;
    auto& owners = found->second;
    owners.erase(std::remove_if(owners.begin(), owners.end(),
                                [&](const Owner& owner) { return owner.service == &service; }),
                 owners.end());
    if (owners.empty()) owners_.erase(found);
  };
  for (const IpBytes& address : service.addresses) remove(address);
  for (const EndpointRecord& endpoint : service.endpoints) remove(endpoint.address);
}

const ServiceRecord* Records::Find(absl::string_view ns, absl::string_view name) const {
  std::array<char, 2 * kLabelBytesMax + 1> key;
  char* end = std::copy(ns.begin(), ns.end(), key.data());
  *end++ = '/';
  end = std::copy(name.begin(), name.end(), end);
  const auto found =
      services_.find(absl::string_view(key.data(), static_cast<size_t>(end - key.data())));
  return found == services_.end() ? nullptr : found->second.get();
}

bool Records::Owns(absl::string_view name) const {
  // A suffix of bytes alone may begin within a label: the byte before it must be one's length.
  if (name.size() < zone_.size() || name.substr(name.size() - zone_.size()) != zone_) return false;
  size_t at = 0;
  while (at + zone_.size() < name.size()) {
    at += 1 + static_cast<size_t>(static_cast<uint8_t>(name[at]));
  }
  return at + zone_.size() == name.size();
}

Answered Records::Answer(const Query& query, AnswerWriter* writer, Name* external) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!Owns(query.name)) {
    return AnswerReverse(query, writer) ? Answered::kDone : Answered::kElsewhere;
  }
  writer->Begin(query, kNoError, kFlagAuthoritative);
  const Labels labels = LabelsOf(query.name);
  const absl::Span<const absl::string_view> rest =
      absl::MakeConstSpan(labels).first(labels.size() - zone_labels_);
  const Found found = AnswerName({rest, query.type, "", writer, external}, 0);
  if (found == Found::kExternal) return Answered::kExternal;
  if (found == Found::kNothing) writer->SetRcode(kNxDomain);
  if (writer->answers() == 0 && !writer->truncated()) WriteSoa(writer, Section::kAuthority);
  return Answered::kDone;
}

bool Records::AnswerReverse(const Query& query, AnswerWriter* writer) const {
  const std::string address = ReverseAddress(LabelsOf(query.name));
  const auto found = address.empty() ? owners_.end() : owners_.find(IpBytes(address));
  if (found == owners_.end()) return false;
  writer->Begin(query, kNoError, kFlagAuthoritative);
  for (const Owner& owner : found->second) {
    if (query.type != kTypePtr) break;
    writer->NameRecord("", kTypePtr, options_.ttl_s, NameOf(*owner.service, owner.endpoint));
  }
  if (query.type != kTypePtr) WriteSoa(writer, Section::kAuthority);
  return true;
}

// TREE = "svc" | "pod" | "dns-version" | "dns", read from the right.
Records::Found Records::AnswerName(const Asked& asked, int depth) const {
  const auto& rest = asked.rest;
  const size_t n = rest.size();
  if (n == 0) return AnswerApex(asked);
  const absl::string_view tree = rest[n - 1];
  if (tree == "dns-version" && n == 1) {
    if (asked.type == kTypeTxt) asked.writer->Txt(asked.owner, options_.ttl_s, kSchemaVersion);
    return Found::kName;
  }
  if (tree == "dns") {
    if (n > 2 || (n == 2 && rest[0] != "ns")) return Found::kNothing;
    const ServiceRecord* self = n == 2 ? Find("kube-system", "kube-dns") : nullptr;
    if (self == nullptr) return Found::kName;
    for (const IpBytes& address : self->addresses) WriteAddress(asked, address);
    return Found::kName;
  }
  if (tree != "svc" && tree != "pod") return Found::kNothing;
  if (n == 1) return Found::kName;
  if (n == 2) return namespaces_.contains(rest[0]) ? Found::kName : Found::kNothing;
  if (tree == "pod") return n == 3 ? AnswerPod(asked) : Found::kNothing;
  if (n == 3) return AnswerService(asked, depth);
  if (n == 4) return AnswerEndpoint(asked);
  return n == 5 ? AnswerPort(asked) : Found::kNothing;
}

Records::Found Records::AnswerApex(const Asked& asked) const {
  if (asked.type == kTypeSoa) WriteSoa(asked.writer, Section::kAnswer);
  if (asked.type == kTypeNs) {
    asked.writer->NameRecord(asked.owner, kTypeNs, options_.ttl_s, primary_);
    const ServiceRecord* self = Find("kube-system", "kube-dns");
    asked.writer->SetSection(Section::kAdditional);
    for (size_t i = 0; self != nullptr && i < self->addresses.size(); ++i) {
      asked.writer->Address(primary_, options_.ttl_s, self->addresses[i].view());
    }
  }
  return Found::kName;
}

Records::Found Records::AnswerService(const Asked& asked, int depth) const {
  const ServiceRecord* service = Find(asked.rest[1], asked.rest[0]);
  if (service == nullptr) return Found::kNothing;
  if (!service->external.empty()) return AnswerAlias(asked, *service, depth);
  if (asked.type == kTypeSrv) {
    WriteSrv(asked, *service, "", "");
    return Found::kName;
  }
  if (!service->headless) {
    for (const IpBytes& address : service->addresses) WriteAddress(asked, address);
    return Found::kName;
  }
  // Without endpoints the name is none: clients see at once that nobody is there.
  if (service->endpoints.empty()) return Found::kNothing;
  const size_t count = service->endpoints.size();
  const size_t first = turn_++ % count;
  for (size_t i = 0; i < count; ++i) {
    WriteAddress(asked, service->endpoints[(first + i) % count].address);
  }
  return Found::kName;
}

Records::Found Records::AnswerAlias(const Asked& asked, const ServiceRecord& service,
                                    int depth) const {
  const Name& target = service.external;
  if (asked.type == kTypeCname || asked.type == kTypeA || asked.type == kTypeAaaa) {
    asked.writer->NameRecord(asked.owner, kTypeCname, options_.ttl_s, target);
  }
  if ((asked.type != kTypeA && asked.type != kTypeAaaa) || depth >= kAliasesMax) {
    return Found::kName;
  }
  if (!Owns(target)) {
    *asked.external = target;
    return Found::kExternal;
  }
  const Labels labels = LabelsOf(target);
  Asked next = asked;
  next.rest = absl::MakeConstSpan(labels).first(labels.size() - zone_labels_);
  next.owner = target;
  // The alias exists whatever it stands for.
  return AnswerName(next, depth + 1) == Found::kExternal ? Found::kExternal : Found::kName;
}

Records::Found Records::AnswerEndpoint(const Asked& asked) const {
  const ServiceRecord* service = Find(asked.rest[2], asked.rest[1]);
  if (service == nullptr) return Found::kNothing;
  const absl::string_view label = asked.rest[0];
  Found found = Found::kNothing;
  for (size_t i = 0; i < service->endpoints.size(); ++i) {
    if (HostOf(*service, i) != label) continue;
    found = Found::kName;
    WriteAddress(asked, service->endpoints[i].address);
  }
  // "_tcp" has names below it.
  const absl::string_view protocol = Underscored(label);
  for (const PortRecord& port : service->ports) {
    if (!protocol.empty() && port.protocol == protocol) found = Found::kName;
  }
  return found;
}

Records::Found Records::AnswerPort(const Asked& asked) const {
  const ServiceRecord* service = Find(asked.rest[3], asked.rest[2]);
  const absl::string_view port = Underscored(asked.rest[0]);
  const absl::string_view protocol = Underscored(asked.rest[1]);
  if (service == nullptr || port.empty() || protocol.empty()) return Found::kNothing;
  return WriteSrv(asked, *service, port, protocol) > 0 ? Found::kName : Found::kNothing;
}

Records::Found Records::AnswerPod(const Asked& asked) const {
  if (!namespaces_.contains(asked.rest[1])) return Found::kNothing;
  std::string text = absl::StrReplaceAll(asked.rest[0], {{"-", "."}});
  IpBytes address = AddressBytes(text);
  if (address.empty()) address = AddressBytes(absl::StrReplaceAll(asked.rest[0], {{"-", ":"}}));
  if (address.empty()) return Found::kNothing;
  WriteAddress(asked, address);
  return Found::kName;
}

void Records::WriteAddress(const Asked& asked, const IpBytes& address) const {
  if (TypeOf(address) == asked.type) {
    asked.writer->Address(asked.owner, options_.ttl_s, address.view());
  }
}

// How many ports there are by that name; both empty: any. They are written if SRV was asked for.
int Records::WriteSrv(const Asked& asked, const ServiceRecord& service, absl::string_view port,
                      absl::string_view protocol) const {
  struct Target {
    int endpoint;
    uint16_t port;
  };
  std::vector<Target> targets;
  const auto add = [&](int endpoint, const std::vector<PortRecord>& ports) {
    for (const PortRecord& one : ports) {
      const bool wanted = port.empty() || (one.name == port && one.protocol == protocol);
      if (wanted) targets.push_back({endpoint, one.port});
    }
  };
  if (!service.headless) add(kItself, service.ports);
  for (size_t i = 0; service.headless && i < service.endpoints.size(); ++i) {
    add(static_cast<int>(i), service.endpoint_ports[service.endpoints[i].ports]);
  }
  if (asked.type != kTypeSrv) return static_cast<int>(targets.size());
  const size_t share = targets.empty() ? 100 : 100 / targets.size();
  const auto weight = static_cast<uint16_t>(std::max<size_t>(1, share));
  for (const Target& target : targets) {
    asked.writer->Srv(asked.owner, options_.ttl_s, 0, weight, target.port,
                      NameOf(service, target.endpoint));
  }
  asked.writer->SetSection(Section::kAdditional);
  int last = kItself;
  for (const Target& target : targets) {
    if (std::exchange(last, target.endpoint) == target.endpoint) continue;
    asked.writer->Address(NameOf(service, last), options_.ttl_s,
                          service.endpoints[static_cast<size_t>(last)].address.view());
  }
  for (size_t i = 0; !service.headless && !targets.empty() && i < service.addresses.size(); ++i) {
    asked.writer->Address(NameOf(service, kItself), options_.ttl_s, service.addresses[i].view());
  }
  return static_cast<int>(targets.size());
}

std::string Records::HostOf(const ServiceRecord& service, size_t endpoint) {
  const auto named = service.hostnames.find(endpoint);
  return named != service.hostnames.end()
             ? named->second
             : DashedAddress(service.endpoints[endpoint].address.view());
}

Name Records::NameOf(const ServiceRecord& service, int endpoint) const {
  Name name;
  const auto add = [&name](absl::string_view label) {
    name += static_cast<char>(label.size());
    name.append(label.data(), label.size());
  };
  if (endpoint != kItself) add(HostOf(service, static_cast<size_t>(endpoint)));
  add(service.name);
  add(service.ns);
  add("svc");
  return name + zone_;
}

void Records::WriteSoa(AnswerWriter* writer, Section section) const {
  writer->SetSection(section);
  writer->SoaRecord(zone_, options_.ttl_s,
                    {primary_, mailbox_, serial_, kRefresh, kRetry, kExpire, options_.ttl_s});
}

}  // namespace meltemi::dns
