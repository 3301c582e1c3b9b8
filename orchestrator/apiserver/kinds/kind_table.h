// What is registered per kind: its strategy, its columns, how it is stored. builtin.cc fills a
// KindTable from one Add… function per API group and joins it with the resources of the schema.
//
// Threads: filled once at start, then immutable.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/names/names.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

struct KindParts {
  std::unique_ptr<const Strategy> strategy;
  std::unique_ptr<const TableColumns> columns;
};

// A resource that shows objects that are kept under another name, version or kind.
struct StorageForm {
  kube::GroupResource storage;
  std::string version;  // apiVersion of what is stored
  std::string kind;
  // In place; null where only apiVersion differs.
  void (*to_storage)(json::Value& object) = nullptr;
  void (*from_storage)(json::Value& object) = nullptr;
};

class KindTable {
 public:
  // For all versions of the resource. Either part may be null: the default is taken then (a
  // strategy without rules, the columns NAME and CREATED AT).
  void Add(absl::string_view group, absl::string_view plural,
           std::unique_ptr<const Strategy> strategy, std::unique_ptr<const TableColumns> columns);
  // For one version, which takes precedence.
  void AddVersion(absl::string_view group, absl::string_view version, absl::string_view plural,
                  std::unique_ptr<const Strategy> strategy,
                  std::unique_ptr<const TableColumns> columns);
  void SetStorage(absl::string_view group, absl::string_view version, absl::string_view plural,
                  StorageForm form);

  // Never null.
  const Strategy* StrategyOf(absl::string_view group, absl::string_view version,
                             absl::string_view plural) const;
  const TableColumns* ColumnsOf(absl::string_view group, absl::string_view version,
                                absl::string_view plural) const;
  const StorageForm* StorageOf(absl::string_view group, absl::string_view version,
                               absl::string_view plural) const;

  KindTable();
  ~KindTable();

 private:
  // By "group/version/plural"; the version is empty where it does not matter.
  std::map<std::string, KindParts> parts_;
  std::map<std::string, StorageForm> storage_;
  const std::unique_ptr<const Strategy> default_strategy_;
  const std::unique_ptr<const TableColumns> default_columns_;
};

// A strategy of a kind whose objects have no rules beyond their schema.
struct PlainRules {
  bool counts_generations = false;
  // Null: a DNS subdomain.
  std::vector<std::string> (*check_name)(absl::string_view name, bool prefix) = nullptr;
  bool create_on_update = false;
  bool unconditional_update = true;
};
std::unique_ptr<const Strategy> PlainStrategy(const PlainRules& rules);

}  // namespace meltemi::apiserver
