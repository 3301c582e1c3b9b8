// The text of one transaction, gathered in any order, written in the one that the kernel takes.
//
// Threads: one.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/kubeproxy/nftables/fragment.h"

namespace meltemi::kubeproxy::nftables {

// "add element … { … }" commands for one map or set, of a bounded number of elements each.
class ElementList {
 public:
  void Add(absl::string_view key, absl::string_view value);
  // `verb`: "add" or "delete".
  void WriteTo(absl::string_view verb, absl::string_view name, std::string& out) const;
  bool empty() const { return chunks_.empty(); }

 private:
  std::vector<std::string> chunks_;
  size_t in_last_ = 0;
};

class Transaction {
 public:
  void AddElement(const Element& element) {
    added_[static_cast<size_t>(element.container)].Add(element.key, element.value);
  }
  void DeleteElement(const Element& element) {
    deleted_[static_cast<size_t>(element.container)].Add(element.key, "");
  }
  void AddOwn(Ipv4 ip);
  void DeleteOwn(Ipv4 ip);
  void AddSet(const AffinitySet& set);
  void DeleteSet(absl::string_view name);
  // The chain's rules are these from now on, whether it is there or not.
  void SetChain(absl::string_view name, const std::vector<std::string>& rules);
  // It can be deleted later.
  void EmptyChain(absl::string_view name);

  // "": nothing is to be done.
  std::string Text() const;

 private:
  std::array<ElementList, kContainers> added_, deleted_;
  ElementList own_added_, own_deleted_;
  std::string made_, rules_, sets_gone_;
};

}  // namespace meltemi::kubeproxy::nftables
