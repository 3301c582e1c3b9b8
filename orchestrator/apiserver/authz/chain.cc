#include "orchestrator/apiserver/authz/chain.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::apiserver {
namespace {

class Fixed final : public Authorizer {
 public:
  explicit Fixed(Verdict verdict) : verdict_(std::move(verdict)) {}
  Verdict Authorize(const Attributes&) override { return verdict_; }

 private:
  const Verdict verdict_;
};

class Chain final : public Authorizer {
 public:
  Chain(std::vector<std::unique_ptr<Authorizer>> owned, std::vector<Authorizer*> order)
      : owned_(std::move(owned)), order_(std::move(order)) {}

  Verdict Authorize(const Attributes& attributes) override {
    if (attributes.user.IsSuperuser()) return {Decision::kAllow, ""};
    std::vector<std::string> reasons;
    for (Authorizer* authorizer : order_) {
      Verdict verdict = authorizer->Authorize(attributes);
      if (verdict.decision != Decision::kNoOpinion) return verdict;
      if (!verdict.reason.empty()) reasons.push_back(std::move(verdict.reason));
    }
    return {Decision::kNoOpinion, absl::StrJoin(reasons, "\n")};
  }

 private:
  const std::vector<std::unique_ptr<Authorizer>> owned_;
  const std::vector<Authorizer*> order_;
};

}  // namespace

std::unique_ptr<Authorizer> NewAlwaysAllowAuthorizer() {
  return std::make_unique<Fixed>(Verdict{Decision::kAllow, ""});
}

std::unique_ptr<Authorizer> NewAlwaysDenyAuthorizer() {
  return std::make_unique<Fixed>(Verdict{Decision::kNoOpinion, "Everything is forbidden."});
}

absl::StatusOr<std::unique_ptr<Authorizer>> NewAuthorizerChain(
    const std::vector<std::string>& modes, RbacAuthorizer& rbac, WatchCache& cache) {
  std::vector<std::unique_ptr<Authorizer>> owned;
  std::vector<Authorizer*> order;
  std::set<std::string> seen;
  if (modes.empty()) return absl::InvalidArgumentError("at least one authorization mode is needed");
  for (const std::string& mode : modes) {
    if (!seen.insert(mode).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("authorization mode \"", mode, "\" is given twice"));
    }
    if (mode == "RBAC") {
      order.push_back(&rbac);
      continue;
    }
    if (mode == "Node") {
      owned.push_back(NewNodeAuthorizer(cache));
    } else if (mode == "AlwaysAllow") {
      owned.push_back(NewAlwaysAllowAuthorizer());
    } else if (mode == "AlwaysDeny") {
      owned.push_back(NewAlwaysDenyAuthorizer());
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("authorization mode \"", mode,
                       "\" is not known: there are Node, RBAC, AlwaysAllow and AlwaysDeny"));
    }
    order.push_back(owned.back().get());
  }
  return std::unique_ptr<Authorizer>(std::make_unique<Chain>(std::move(owned), std::move(order)));
}

}  // namespace meltemi::apiserver
