#include "orchestrator/apiserver/patch/field_set.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/patch/field_path.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Node = FieldSet::Node;

bool Before(const Node& a, const Node& b) { return CompareElements(a.element, b.element) < 0; }

// Walks both in order. `left`, `right`: in one only; `both`: in both.
template <typename Left, typename Right, typename Both>
void Zip(const FieldSet& a, const FieldSet& b, const Left& left, const Right& right,
         const Both& both) {
  auto x = a.nodes().begin();
  auto y = b.nodes().begin();
  while (x != a.nodes().end() && y != b.nodes().end()) {
    int order = CompareElements(x->element, y->element);
    if (order < 0) {
      left(*x++);
    } else if (order > 0) {
      right(*y++);
    } else {
      both(*x++, *y++);
    }
  }
  for (; x != a.nodes().end(); ++x) left(*x);
  for (; y != b.nodes().end(); ++y) right(*y);
}

}  // namespace

const Node* FieldSet::Find(absl::string_view element) const {
  auto found = std::lower_bound(nodes_.begin(), nodes_.end(), element,
                                [](const Node& node, absl::string_view wanted) {
                                  return CompareElements(node.element, wanted) < 0;
                                });
  return found != nodes_.end() && found->element == element ? &*found : nullptr;
}

void FieldSet::Append(std::string element, bool member, FieldSet children) {
  if (!member && children.empty()) return;
  nodes_.push_back({std::move(element), member, std::move(children)});
}

void FieldSet::Sort() {
  if (!std::is_sorted(nodes_.begin(), nodes_.end(), Before)) {
    std::sort(nodes_.begin(), nodes_.end(), Before);
  }
}

void FieldSet::Insert(const std::vector<std::string>& path) {
  FieldSet* set = this;
  for (size_t i = 0; i < path.size(); ++i) {
    auto place = std::lower_bound(set->nodes_.begin(), set->nodes_.end(), path[i],
                                  [](const Node& node, const std::string& wanted) {
                                    return CompareElements(node.element, wanted) < 0;
                                  });
    if (place == set->nodes_.end() || place->element != path[i]) {
      place = set->nodes_.insert(place, Node{path[i], false, {}});
    }
    if (i + 1 == path.size()) place->member = true;
    set = &place->children;
  }
}

bool FieldSet::Intersects(const FieldSet& other) const {
  bool found = false;
  auto ignore = [](const Node&) {};
  Zip(*this, other, ignore, ignore, [&found](const Node& x, const Node& y) {
    found = found || (x.member && y.member) || x.children.Intersects(y.children);
  });
  return found;
}

FieldSet Union(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  auto take = [&out](const Node& node) { out.nodes_.push_back(node); };
  Zip(a, b, take, take, [&out](const Node& x, const Node& y) {
    out.nodes_.push_back({x.element, x.member || y.member, Union(x.children, y.children)});
  });
  return out;
}

FieldSet Intersection(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  auto ignore = [](const Node&) {};
  Zip(a, b, ignore, ignore, [&out](const Node& x, const Node& y) {
    out.Append(x.element, x.member && y.member, Intersection(x.children, y.children));
  });
  return out;
}

FieldSet Difference(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  Zip(
      a, b, [&out](const Node& node) { out.nodes_.push_back(node); }, [](const Node&) {},
      [&out](const Node& x, const Node& y) {
        out.Append(x.element, x.member && !y.member, Difference(x.children, y.children));
      });
  return out;
}

bool operator==(const FieldSet& a, const FieldSet& b) {
  return std::equal(a.nodes().begin(), a.nodes().end(), b.nodes().begin(), b.nodes().end(),
                    [](const Node& x, const Node& y) {
                      return x.element == y.element && x.member == y.member &&
                             x.children == y.children;
                    });
}

void FieldSet::ForEach(const std::function<void(const std::string& path)>& visit) const {
  ForEachBelow("", visit);
}

void FieldSet::ForEachBelow(const std::string& prefix,
                            const std::function<void(const std::string& path)>& visit) const {
  for (const Node& node : nodes_) {
    if (node.member) visit(absl::StrCat(prefix, ElementText(node.element)));
  }
  for (const Node& node : nodes_) {
    if (node.children.empty()) continue;
    node.children.ForEachBelow(absl::StrCat(prefix, ElementText(node.element)), visit);
  }
}

Value FieldSet::ToJson() const {
  Value out = Value::Object();
  out.members().reserve(nodes_.size());
  for (const Node& node : nodes_) {
    Value below = node.children.ToJson();
    if (node.member && !node.children.empty()) {
      below.members().insert(below.members().begin(), json::Member{".", 0, Value::Object()});
    }
    out.Add(node.element, std::move(below));
  }
  return out;
}

std::optional<FieldSet> FieldSet::FromJson(const Value& fields, bool* canonical) {
  if (!fields.is_object()) return std::nullopt;
  bool ignored = true;
  if (canonical == nullptr) canonical = &ignored;
  FieldSet set;
  set.nodes_.reserve(fields.members().size());
  for (const json::Member& member : fields.members()) {
    if (member.key == ".") {
      // Only beside others, and first, does it say anything.
      if (&member != &fields.members().front() || fields.members().size() == 1) *canonical = false;
      continue;
    }
    if (member.key.size() < 2 || member.key[1] != ':') return std::nullopt;
    if (absl::string_view("fkvi").find(member.key[0]) == absl::string_view::npos) {
      *canonical = false;
      continue;
    }
    std::optional<std::string> element = CanonicalElement(member.key);
    std::optional<FieldSet> children = FromJson(member.value, canonical);
    if (!element.has_value() || !children.has_value()) return std::nullopt;
    if (*element != member.key) *canonical = false;
    bool is_member = children->empty() || member.value.Find(".") != nullptr;
    set.nodes_.push_back({*std::move(element), is_member, *std::move(children)});
  }
  if (!std::is_sorted(set.nodes_.begin(), set.nodes_.end(), Before)) {
    *canonical = false;
    std::sort(set.nodes_.begin(), set.nodes_.end(), Before);
  }
  // Two spellings of one element.
  for (size_t i = 1; i < set.nodes_.size(); ++i) {
    if (set.nodes_[i - 1].element == set.nodes_[i].element) return std::nullopt;
  }
  return set;
}

}  // namespace meltemi::apiserver
