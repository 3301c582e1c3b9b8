#include "orchestrator/apiserver/crd/catalog.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

// kube-apiserver's APIService priorities; what is not listed is a custom group.
int GroupPriority(absl::string_view group) {
  struct Entry {
    absl::string_view group;
    int priority;
  };
  static constexpr Entry kEntries[] = {
      {"", 18000},
      {"apiregistration.k8s.io", 20000},
      {"apps", 17800},
      {"events.k8s.io", 17750},
      {"authentication.k8s.io", 17700},
      {"authorization.k8s.io", 17600},
      {"autoscaling", 17500},
      {"batch", 17400},
      {"certificates.k8s.io", 17300},
      {"networking.k8s.io", 17200},
      {"policy", 17100},
      {"rbac.authorization.k8s.io", 17000},
      {"storage.k8s.io", 16800},
      {"admissionregistration.k8s.io", 16700},
      {"apiextensions.k8s.io", 16700},
      {"scheduling.k8s.io", 16600},
      {"coordination.k8s.io", 16500},
      {"node.k8s.io", 16300},
      {"discovery.k8s.io", 16200},
      {"resource.k8s.io", 16200},
      {"flowcontrol.apiserver.k8s.io", 16100},
      {"metrics.k8s.io", 100},
  };
  for (const Entry& entry : kEntries) {
    if (entry.group == group) return entry.priority;
  }
  return 1000;
}

// "v2" > "v1" > "v2beta1" > "v1alpha3" > anything else, which sorts by name.
struct VersionRank {
  int stage = 0;  // 3: stable, 2: beta, 1: alpha, 0: not of this form
  int major = 0, minor = 0;
};

bool TakeNumber(absl::string_view& text, int* out) {
  size_t digits = 0;
  while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') ++digits;
  const bool fits = digits > 0 && digits < 10 && absl::SimpleAtoi(text.substr(0, digits), out);
  text.remove_prefix(digits);
  return fits;
}

VersionRank RankOf(absl::string_view version) {
  VersionRank rank;
  if (version.substr(0, 1) != "v") return rank;
  absl::string_view rest = version.substr(1);
  if (!TakeNumber(rest, &rank.major)) return {};
  if (rest.empty()) {
    rank.stage = 3;
    return rank;
  }
  const bool beta = rest.substr(0, 4) == "beta", alpha = rest.substr(0, 5) == "alpha";
  if (!beta && !alpha) return {};
  rest.remove_prefix(beta ? 4 : 5);
  if (!TakeNumber(rest, &rank.minor) || !rest.empty()) return {};
  rank.stage = beta ? 2 : 1;
  return rank;
}

std::string Key(absl::string_view group, absl::string_view version, absl::string_view name) {
  return absl::StrCat(group, "/", version, "/", name);
}

class IndexedCatalog final : public Catalog {
 public:
  IndexedCatalog(std::vector<std::shared_ptr<const Resource>> resources, uint64_t generation)
      : generation_(generation) {
    std::stable_sort(resources.begin(), resources.end(), [](const auto& a, const auto& b) {
      if (a->group != b->group) return GroupComesBefore(a->group, b->group);
      if (a->version != b->version) return VersionComesBefore(a->version, b->version);
      return a->plural < b->plural;
    });
    for (std::shared_ptr<const Resource>& resource : resources) Add(std::move(resource));
  }

  const Resource* Find(absl::string_view group, absl::string_view version,
                       absl::string_view plural) const override {
    return Look(by_plural_, Key(group, version, plural));
  }
  const Resource* FindKind(const kube::GroupVersionKind& kind) const override {
    return Look(by_kind_, Key(kind.group, kind.version, kind.kind));
  }
  const Resource* FindPreferred(const kube::GroupResource& resource) const override {
    return Look(preferred_, Key(resource.group, "", resource.resource));
  }
  const std::vector<GroupVersion>& group_versions() const override { return group_versions_; }
  uint64_t generation() const override { return generation_; }

 private:
  using Index = absl::flat_hash_map<std::string, const Resource*>;

  static const Resource* Look(const Index& index, const std::string& key) {
    const auto found = index.find(key);
    return found == index.end() ? nullptr : found->second;
  }

  static bool GroupComesBefore(const std::string& a, const std::string& b) {
    if (a.empty() || b.empty()) return a.empty();
    const int a_priority = GroupPriority(a), b_priority = GroupPriority(b);
    return a_priority != b_priority ? a_priority > b_priority : a < b;
  }

  static bool VersionComesBefore(const std::string& a, const std::string& b) {
    const VersionRank a_rank = RankOf(a), b_rank = RankOf(b);
    const auto a_key = std::tie(a_rank.stage, a_rank.major, a_rank.minor);
    const auto b_key = std::tie(b_rank.stage, b_rank.major, b_rank.minor);
    return a_key != b_key ? a_key > b_key : a < b;
  }

  void Add(std::shared_ptr<const Resource> resource) {
    const Resource& r = *resource;
    // Of two with one name, the first is served: built-in resources stand before custom ones.
    if (!by_plural_.emplace(Key(r.group, r.version, r.plural), &r).second) return;
    by_kind_.emplace(Key(r.group, r.version, r.kind), &r);
    preferred_.emplace(Key(r.group, "", r.plural), &r);
    if (group_versions_.empty() || group_versions_.back().group != r.group ||
        group_versions_.back().version != r.version) {
      group_versions_.push_back({r.group, r.version, {}});
    }
    group_versions_.back().resources.push_back(std::move(resource));
  }

  const uint64_t generation_;
  std::vector<GroupVersion> group_versions_;
  Index by_plural_, by_kind_, preferred_;
};

class FixedSource final : public CatalogSource {
 public:
  explicit FixedSource(std::shared_ptr<const Catalog> catalog) : catalog_(std::move(catalog)) {}
  std::shared_ptr<const Catalog> current() const override { return catalog_; }

 private:
  const std::shared_ptr<const Catalog> catalog_;
};

}  // namespace

std::shared_ptr<const Catalog> NewCatalog(std::vector<std::shared_ptr<const Resource>> resources,
                                          uint64_t generation) {
  return std::make_shared<IndexedCatalog>(std::move(resources), generation);
}

std::unique_ptr<CatalogSource> NewFixedCatalogSource(std::shared_ptr<const Catalog> catalog) {
  return std::make_unique<FixedSource>(std::move(catalog));
}

}  // namespace meltemi::apiserver
