#include "orchestrator/scheduler/cycle/diagnosis.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::scheduler {

void Reasons::Add(absl::string_view reason, size_t nodes) {
  for (auto& [known, count] : counts_) {
    if (known == reason) {
      count += nodes;
      return;
    }
  }
  counts_.emplace_back(std::string(reason), nodes);
}

void Reasons::Add(const Verdict& verdict, size_t nodes) {
  for (const absl::string_view reason : verdict.reasons) Add(reason, nodes);
}

std::string Reasons::ToString() const {
  std::vector<std::string> texts;
  texts.reserve(counts_.size());
  for (const auto& [reason, count] : counts_) texts.push_back(absl::StrCat(count, " ", reason));
  std::sort(texts.begin(), texts.end());
  return absl::StrJoin(texts, ", ");
}

std::string NotAvailable(size_t nodes, const Reasons& reasons) {
  std::string text = absl::StrCat("0/", nodes, " nodes are available:");
  const std::string why = reasons.ToString();
  if (!why.empty()) absl::StrAppend(&text, " ", why, ".");
  return text;
}

std::string Diagnosis::Message(absl::string_view preemption) const {
  std::string text = pre_filter.empty()
                         ? NotAvailable(nodes, reasons)
                         : absl::StrCat("0/", nodes, " nodes are available: ", pre_filter, ".");
  if (!preemption.empty()) absl::StrAppend(&text, " ", preemption);
  return text;
}

}  // namespace meltemi::scheduler
