#include "orchestrator/apiserver/authz/bootstrap_policy.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/authz/bootstrap_tables.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using Tokens = std::vector<absl::string_view>;

constexpr absl::string_view kGroup = "rbac.authorization.k8s.io";

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

// An entry of a table: its head, and below it what is indented, each as words.
struct Entry {
  Tokens head;
  std::vector<Tokens> lines;
};

std::vector<Entry> Entries(absl::string_view table) {
  std::vector<Entry> out;
  for (const absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    Tokens words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    const size_t indent = line.find_first_not_of(' ');
    if (indent == 0) {
      out.push_back({std::move(words), {}});
    } else if (indent < 6) {
      out.back().lines.push_back(std::move(words));
    } else {
      Tokens& last = out.back().lines.empty() ? out.back().head : out.back().lines.back();
      last.insert(last.end(), words.begin(), words.end());
    }
  }
  return out;
}

void AppendList(Value& rule, absl::string_view member, absl::string_view text) {
  const Value* held = rule.Find(member);
  if (held == nullptr) rule.Add(std::string(member), Value::Array());
  rule.Find(member)->Append(Text(text));
}

Value RuleOf(const Tokens& words) {
  Value rule = Value::Object();
  absl::string_view verbs = words[0];
  if (verbs == "read") verbs = "get,list,watch";
  if (verbs == "write") verbs = "create,delete,deletecollection,patch,update";
  for (const absl::string_view verb : absl::StrSplit(verbs, ',')) {
    AppendList(rule, "verbs", verb);
  }
  const bool paths = words[1] == "-";
  if (!paths) {
    for (const absl::string_view group : absl::StrSplit(words[1], ',')) {
      AppendList(rule, "apiGroups", group == "core" ? "" : group);
    }
  }
  for (size_t i = 2; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (absl::ConsumePrefix(&word, "name=")) {
      AppendList(rule, "resourceNames", word);
    } else {
      AppendList(rule, paths ? "nonResourceURLs" : "resources", word);
    }
  }
  return rule;
}

// "NS/NAME" or "NAME" with the metadata that all of them have.
Value NewObject(absl::string_view kind, absl::string_view head) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(head, absl::MaxSplits('/', 1));
  const bool namespaced = head.find('/') != absl::string_view::npos;
  Value object = Value::Object();
  object.Add("apiVersion", Text("rbac.authorization.k8s.io/v1"));
  object.Add("kind", Text(absl::StrCat(namespaced ? "" : "Cluster", kind)));
  Value& metadata = object.Add("metadata", Value::Object());
  metadata.Add("name", Text(namespaced ? parts.second : parts.first));
  if (namespaced) metadata.Add("namespace", Text(parts.first));
  metadata.Add("annotations", Value::Object())
      .Add("rbac.authorization.kubernetes.io/autoupdate", Text("true"));
  metadata.Add("labels", Value::Object()).Add("kubernetes.io/bootstrapping", Text("rbac-defaults"));
  return object;
}

Value RoleOf(const Entry& entry) {
  Value role = NewObject("Role", entry.head[0]);
  for (absl::string_view option : Tokens(entry.head.begin() + 1, entry.head.end())) {
    const bool from = absl::ConsumePrefix(&option, "from=");
    absl::ConsumePrefix(&option, "to=");
    const std::string label = absl::StrCat("rbac.authorization.k8s.io/aggregate-to-", option);
    if (!from) {
      role.Find("metadata")->Find("labels")->Set(label, Text("true"));
      continue;
    }
    Value selector = Value::Object();
    selector.Add("matchLabels", Value::Object()).Add(label, Text("true"));
    role.Add("aggregationRule", Value::Object())
        .Add("clusterRoleSelectors", Value::Array())
        .Append(std::move(selector));
  }
  Value& rules = role.Add("rules", Value::Array());
  for (const Tokens& line : entry.lines) rules.Append(RuleOf(line));
  return role;
}

Value SubjectOf(absl::string_view word) {
  Value subject = Value::Object();
  const auto fill = [&](absl::string_view kind) {
    subject.Add("kind", Text(kind));
    if (kind != "ServiceAccount") subject.Add("apiGroup", Text(kGroup));
  };
  if (absl::ConsumePrefix(&word, "account:")) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(word, '/');
    fill("ServiceAccount");
    subject.Add("name", Text(parts.second));
    subject.Add("namespace", Text(parts.first));
    return subject;
  }
  fill(absl::ConsumePrefix(&word, "group:") ? "Group" : "User");
  absl::ConsumePrefix(&word, "user:");
  subject.Add("name", Text(word));
  return subject;
}

Value BindingOf(const Tokens& head) {
  Value binding = NewObject("RoleBinding", head[0]);
  const bool namespaced = head[0].find('/') != absl::string_view::npos;
  std::string role(binding.Find("metadata")->FindString("name"));
  Value subjects = Value::Array();
  for (absl::string_view word : Tokens(head.begin() + 1, head.end())) {
    if (absl::ConsumePrefix(&word, "role=")) {
      role = std::string(word);
    } else {
      subjects.Append(SubjectOf(word));
    }
  }
  Value& reference = binding.Add("roleRef", Value::Object());
  reference.Add("apiGroup", Text(kGroup));
  reference.Add("kind", Text(namespaced ? "Role" : "ClusterRole"));
  reference.Add("name", Text(role));
  if (!subjects.items().empty()) binding.Add("subjects", std::move(subjects));
  return binding;
}

std::vector<Value> Roles(std::initializer_list<absl::string_view> tables) {
  std::vector<Value> out;
  for (const absl::string_view table : tables) {
    for (const Entry& entry : Entries(table)) out.push_back(RoleOf(entry));
  }
  return out;
}

std::vector<Value> Bindings(bool namespaced) {
  std::vector<Value> out;
  for (const Entry& entry : Entries(BootstrapBindingTable())) {
    const bool has_namespace = entry.head[0].find('/') != absl::string_view::npos;
    if (has_namespace == namespaced) out.push_back(BindingOf(entry.head));
  }
  return out;
}

}  // namespace

std::vector<Value> BootstrapClusterRoles() {
  return Roles({BootstrapClusterRoleTable(), BootstrapControllerRoleTable()});
}

std::vector<Value> BootstrapRoles() { return Roles({BootstrapNamespaceRoleTable()}); }

std::vector<Value> BootstrapClusterRoleBindings() {
  std::vector<Value> out = Bindings(false);
  for (const Entry& entry : Entries(BootstrapControllerRoleTable())) {
    const absl::string_view name = entry.head[0];
    const std::string account =
        absl::StrCat("account:kube-system/", name.substr(name.rfind(':') + 1));
    out.push_back(BindingOf({name, account}));
  }
  return out;
}

std::vector<Value> BootstrapRoleBindings() { return Bindings(true); }

}  // namespace meltemi::apiserver
