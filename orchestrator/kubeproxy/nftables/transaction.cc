#include "orchestrator/kubeproxy/nftables/transaction.h"

#include "absl/strings/str_cat.h"

namespace meltemi::kubeproxy::nftables {
namespace {

constexpr size_t kElementsPerCommand = 1000;
constexpr char kOwnSet[] = "own-endpoints";

std::string OwnKey(Ipv4 ip) { return absl::StrCat(IpText(ip), " . ", IpText(ip)); }

}  // namespace

void ElementList::Add(absl::string_view key, absl::string_view value) {
  if (chunks_.empty() || in_last_ == kElementsPerCommand) {
    chunks_.emplace_back();
    in_last_ = 0;
  }
  std::string& chunk = chunks_.back();
  if (in_last_++ > 0) chunk += ", ";
  absl::StrAppend(&chunk, key);
  if (!value.empty()) absl::StrAppend(&chunk, " : ", value);
}

void ElementList::WriteTo(absl::string_view verb, absl::string_view name, std::string& out) const {
  for (const std::string& chunk : chunks_) {
    absl::StrAppend(&out, verb, " element ", kTable, " ", name, " { ", chunk, " }\n");
  }
}

void Transaction::AddOwn(Ipv4 ip) { own_added_.Add(OwnKey(ip), ""); }
void Transaction::DeleteOwn(Ipv4 ip) { own_deleted_.Add(OwnKey(ip), ""); }

void Transaction::AddSet(const AffinitySet& set) {
  absl::StrAppend(&made_, "add set ", kTable, " ", set.name,
                  " { type ipv4_addr; flags dynamic,timeout; timeout ", set.timeout_s, "s; }\n");
}

void Transaction::DeleteSet(absl::string_view name) {
  absl::StrAppend(&sets_gone_, "delete set ", kTable, " ", name, "\n");
}

void Transaction::SetChain(absl::string_view name, const std::vector<std::string>& rules) {
  absl::StrAppend(&made_, "add chain ", kTable, " ", name, "\n");
  EmptyChain(name);
  for (const std::string& rule : rules) {
    absl::StrAppend(&rules_, "add rule ", kTable, " ", name, " ", rule, "\n");
  }
}

void Transaction::EmptyChain(absl::string_view name) {
  absl::StrAppend(&rules_, "flush chain ", kTable, " ", name, "\n");
}

std::string Transaction::Text() const {
  std::string text = made_;
  for (size_t i = 0; i < kContainers; i++) {
    deleted_[i].WriteTo("delete", ShapeOf(static_cast<Container>(i)).name, text);
  }
  own_deleted_.WriteTo("delete", kOwnSet, text);
  text += rules_;
  for (size_t i = 0; i < kContainers; i++) {
    added_[i].WriteTo("add", ShapeOf(static_cast<Container>(i)).name, text);
  }
  own_added_.WriteTo("add", kOwnSet, text);
  return text + sets_gone_;
}

}  // namespace meltemi::kubeproxy::nftables
