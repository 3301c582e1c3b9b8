#include "orchestrator/apiserver/kinds/kind_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"

namespace meltemi::apiserver {
namespace {

std::string KeyOf(absl::string_view group, absl::string_view version, absl::string_view plural) {
  return absl::StrCat(group, "/", version, "/", plural);
}

class RuledStrategy final : public Strategy {
 public:
  explicit RuledStrategy(const PlainRules& rules) : rules_(rules) {}
  bool CountsGenerations(const Resource& resource) const override {
    return rules_.counts_generations;
  }
  std::vector<std::string> CheckName(absl::string_view name, bool prefix) const override {
    return rules_.check_name == nullptr ? Strategy::CheckName(name, prefix)
                                        : rules_.check_name(name, prefix);
  }
  bool AllowCreateOnUpdate() const override { return rules_.create_on_update; }
  bool AllowUnconditionalUpdate() const override { return rules_.unconditional_update; }

 private:
  const PlainRules rules_;
};

}  // namespace

std::unique_ptr<const Strategy> PlainStrategy(const PlainRules& rules) {
  return std::make_unique<RuledStrategy>(rules);
}

KindTable::KindTable()
    : default_strategy_(PlainStrategy({})), default_columns_(NameAndCreation()) {}
KindTable::~KindTable() = default;

void KindTable::Add(absl::string_view group, absl::string_view plural,
                    std::unique_ptr<const Strategy> strategy,
                    std::unique_ptr<const TableColumns> columns) {
  AddVersion(group, "", plural, std::move(strategy), std::move(columns));
}

void KindTable::AddVersion(absl::string_view group, absl::string_view version,
                           absl::string_view plural, std::unique_ptr<const Strategy> strategy,
                           std::unique_ptr<const TableColumns> columns) {
  parts_[KeyOf(group, version, plural)] = {std::move(strategy), std::move(columns)};
}

void KindTable::SetStorage(absl::string_view group, absl::string_view version,
                           absl::string_view plural, StorageForm form) {
  storage_[KeyOf(group, version, plural)] = std::move(form);
}

const Strategy* KindTable::StrategyOf(absl::string_view group, absl::string_view version,
                                      absl::string_view plural) const {
  for (const absl::string_view wanted : {version, absl::string_view("")}) {
    const auto found = parts_.find(KeyOf(group, wanted, plural));
    if (found != parts_.end() && found->second.strategy != nullptr) {
      return found->second.strategy.get();
    }
  }
  return default_strategy_.get();
}

const TableColumns* KindTable::ColumnsOf(absl::string_view group, absl::string_view version,
                                         absl::string_view plural) const {
  for (const absl::string_view wanted : {version, absl::string_view("")}) {
    const auto found = parts_.find(KeyOf(group, wanted, plural));
    if (found != parts_.end() && found->second.columns != nullptr) {
      return found->second.columns.get();
    }
  }
  return default_columns_.get();
}

const StorageForm* KindTable::StorageOf(absl::string_view group, absl::string_view version,
                                        absl::string_view plural) const {
  const auto found = storage_.find(KeyOf(group, version, plural));
  return found == storage_.end() ? nullptr : &found->second;
}

}  // namespace meltemi::apiserver
