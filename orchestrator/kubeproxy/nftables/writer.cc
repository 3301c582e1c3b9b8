#include "orchestrator/kubeproxy/nftables/writer.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/process/run_process.h"

namespace meltemi::kubeproxy::nftables {
namespace {

absl::Status RunNft(const std::string& text) {
  ProcessOptions options;
  options.timeout = seconds(120);  // a hundred thousand endpoints take two seconds
  return RunToSuccess({"nft", "-f", "-"}, text, options);
}

// By value: chains of the same name whose rules differ.
const Chain* Find(const std::vector<Chain>& chains, const std::string& name) {
  const auto at = std::find_if(chains.begin(), chains.end(),
                               [&](const Chain& chain) { return chain.name == name; });
  return at == chains.end() ? nullptr : &*at;
}

bool Has(const std::vector<AffinitySet>& sets, const std::string& name) {
  return std::any_of(sets.begin(), sets.end(),
                     [&](const AffinitySet& set) { return set.name == name; });
}

}  // namespace

std::set<SharedChain> PickChains() {
  using Kind = SharedChain::Kind;
  std::set<SharedChain> chains;
  for (Kind kind : {Kind::kPick, Kind::kPickLocal, Kind::kPortPick, Kind::kPortPickLocal}) {
    for (size_t n = 1; n <= kSharedMax; n++) chains.insert({kind, n});
  }
  return chains;
}

absl::Status Writer::Replace(const RulesOptions& options,
                             const std::vector<ServiceRulesPtr>& services) {
  options_ = options;
  shared_ = PickChains();
  own_.clear();
  own_change_.clear();
  stale_chains_.clear();
  Transaction transaction;
  for (const ServiceRulesPtr& service : services) {
    Add(Fragment(), FragmentOf(service.get(), options_.node_ip), transaction);
  }
  AddOwn(transaction);
  // Adding what is there does nothing, so that deleting never fails.
  return RunNft(absl::StrCat("add table ", kTable, "\ndelete table ", kTable, "\n",
                             BaseTable(options_, owner_), transaction.Text()));
}

absl::Status Writer::Apply(const std::vector<ServiceChange>& changes) {
  own_change_.clear();
  Transaction transaction;
  for (const ServiceChange& change : changes) {
    Add(FragmentOf(change.before.get(), options_.node_ip),
        FragmentOf(change.after.get(), options_.node_ip), transaction);
  }
  AddOwn(transaction);
  const std::string text = transaction.Text();
  return text.empty() ? absl::OkStatus() : RunNft(text);
}

absl::StatusOr<bool> Writer::Intact() {
  DeleteStaleChains();
  // Of the set alone: a look at the table, or at a chain, makes nft read all elements of all maps.
  absl::StatusOr<ProcessResult> listed =
      RunProcess({"nft", "list", "set", "ip", "meltemi-proxy", "owner"});
  if (!listed.ok()) return listed.status();
  return listed->exit_code == 0 &&
         absl::StrContains(listed->out, absl::StrCat("0x", absl::Hex(owner_, absl::kZeroPad8)));
}

void Writer::Add(const Fragment& before, const Fragment& after, Transaction& transaction) {
  for (const SharedChain& chain : after.shared) {
    if (shared_.insert(chain).second) transaction.SetChain(chain.Name(), chain.Rules());
  }
  AddChains(before, after, transaction);
  std::vector<Element> gone, made;
  std::set_difference(before.elements.begin(), before.elements.end(), after.elements.begin(),
                      after.elements.end(), std::back_inserter(gone));
  std::set_difference(after.elements.begin(), after.elements.end(), before.elements.begin(),
                      before.elements.end(), std::back_inserter(made));
  for (const Element& element : gone) transaction.DeleteElement(element);
  for (const Element& element : made) transaction.AddElement(element);
  CountOwn(before, -1);
  CountOwn(after, +1);
}

void Writer::AddChains(const Fragment& before, const Fragment& after, Transaction& transaction) {
  for (const AffinitySet& set : after.sets) {
    if (!Has(before.sets, set.name)) transaction.AddSet(set);
  }
  for (const Chain& chain : after.chains) {
    const Chain* old = Find(before.chains, chain.name);
    if (old != nullptr && old->rules == chain.rules) continue;
    transaction.SetChain(chain.name, chain.rules);
    stale_chains_.erase(chain.name);
  }
  for (const Chain& chain : before.chains) {
    if (Find(after.chains, chain.name) != nullptr) continue;
    transaction.EmptyChain(chain.name);
    // Not deleted at once: before Linux 6.2 an element that leads to it, deleted in the same
    // transaction, still holds it.
    stale_chains_.insert(chain.name);
  }
  for (const AffinitySet& set : before.sets) {
    if (!Has(after.sets, set.name)) transaction.DeleteSet(set.name);
  }
}

void Writer::CountOwn(const Fragment& fragment, int by) {
  for (Ipv4 ip : fragment.own) own_change_[ip] += by;
}

void Writer::AddOwn(Transaction& transaction) {
  for (const auto& [ip, change] : own_change_) {
    if (change == 0) continue;
    int& count = own_[ip];
    if (count == 0) transaction.AddOwn(ip);
    count += change;
    if (count != 0) continue;
    transaction.DeleteOwn(ip);
    own_.erase(ip);
  }
  own_change_.clear();
}

void Writer::DeleteStaleChains() {
  if (stale_chains_.empty()) return;
  std::string text;
  for (const std::string& chain : stale_chains_) {
    absl::StrAppend(&text, "delete chain ", kTable, " ", chain, "\n");
  }
  // They are empty and nothing leads to them; if the kernel does not know that yet, next time.
  if (RunNft(text).ok()) stale_chains_.clear();
}

absl::Status RemoveTable() {
  return RunNft(absl::StrCat("add table ", kTable, "\ndelete table ", kTable, "\n"));
}

}  // namespace meltemi::kubeproxy::nftables
