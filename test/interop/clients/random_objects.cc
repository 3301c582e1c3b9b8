#include "test/interop/clients/random_objects.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::interop {
namespace {

using json::Member;
using json::Value;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

// By which strategic merge knows the entries of a list of pods; "" for scalars, null for others.
const char* MergeKeyOf(absl::string_view list) {
  if (list == "containers" || list == "env" || list == "volumes") return "name";
  if (list == "ports") return "containerPort";
  if (list == "volumeMounts") return "mountPath";
  if (list == "finalizers") return "";
  return nullptr;
}

}  // namespace

std::string RandomObjects::Joined(const std::vector<const char*>& words, int count_max) {
  std::string text;
  for (int i = Below(count_max) + 1; i > 0; --i) text += Pick(words);
  return text;
}

std::string RandomObjects::QuantityText() {
  std::string text = Pick({"", "", "", "", "-", "+"});
  text += Joined({"0", "1", "2", "5", "9", "10", "100", "512", "1000", "1024"}, 3);
  if (Chance(40)) absl::StrAppend(&text, ".", Joined({"", "0", "1", "25", "5", "000", "0001"}, 3));
  text += Pick({"",   "",   "m",  "u",  "n",  "k",  "M",  "G",   "T",   "P",   "E",    "Ki",
                "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E6", "e-3", "E-9", "e+2", "e-11", "e10"});
  if (Chance(3)) text += Pick({" ", "i", ".", "x", "e"});
  return text;
}

std::string RandomObjects::LabelSelectorText() {
  if (Chance(60)) {
    // Requirements that are whole, most of them.
    std::string text;
    for (int i = Below(3) + 1; i > 0; --i) {
      absl::StrAppend(&text, text.empty() ? "" : ",", Pick({"a", "b", "x/y", "in"}),
                      Pick({"=1", "==v", "!=1", " in (a,b)", " notin (c)", ">1", "<5", "", " in ()",
                            " in (b,,a)", "=", "=in"}));
    }
    return text;
  }
  return Joined({"a", "b", "x/y", "-bad", "in", " in ", "notin", " notin ", "=", "==",  "!=",
                 "!", "(", ")",   ",",    ">",  "<",    "1",     "5",       " ", "v_1", "a\"b"},
                7);
}

std::string RandomObjects::FieldSelectorText() {
  return Joined({"metadata.name", "a", "b", "=", "=", "==", "!=", ",", "\\", "\\,", "\\=", "v"}, 7);
}

Value RandomObjects::Tree(int depth) {
  switch (depth == 0 ? Below(3) : 3 + Below(3)) {
    case 0:
      return Value::Int(Below(5));
    case 1:
      return Text(Pick({"x", "y", "a/b"}));
    case 2:
      return Value::Bool(Chance(50));
    case 3: {
      Value list = Value::Array();
      for (int i = Below(4); i > 0; --i) list.Append(Tree(depth - 1));
      return list;
    }
    default: {
      Value map = Value::Object();
      for (const char* key : {"a", "b", "c", "x/y", "t~", "0"}) {
        if (Chance(50)) map.Set(key, Tree(depth - 1));
      }
      return map;
    }
  }
}

std::string RandomObjects::PathIn(const Value& document) {
  std::string path;
  const Value* at = &document;
  while (at != nullptr && Chance(80)) {
    if (at->is_object() && !at->members().empty() && Chance(85)) {
      const Member& member =
          at->members()[static_cast<size_t>(Below(static_cast<int>(at->members().size())))];
      absl::StrAppend(&path, "/");
      for (char c : member.key) {
        absl::StrAppend(&path, c == '/' ? "~1" : c == '~' ? "~0" : std::string(1, c));
      }
      at = &member.value;
    } else if (at->is_array() && Chance(85)) {
      const int index = Below(static_cast<int>(at->items().size()) + 1);
      absl::StrAppend(&path, "/", index);
      at = static_cast<size_t>(index) < at->items().size()
               ? &at->items()[static_cast<size_t>(index)]
               : nullptr;
    } else {
      absl::StrAppend(&path, "/", Pick({"a", "new", "-", "-1", "7", "0"}));
      at = nullptr;
    }
  }
  return path.empty() ? "/a" : path;
}

Value RandomObjects::JsonPatchFor(const Value& document) {
  Value patch = Value::Array();
  for (int i = Below(4) + 1; i > 0; --i) {
    Value operation = Value::Object();
    operation.Set("op", Text(Pick({"add", "add", "remove", "replace", "move", "copy", "test"})));
    operation.Set("path", Value::String(PathIn(document)));
    operation.Set("from", Value::String(PathIn(document)));
    operation.Set("value", Tree(Below(2)));
    patch.Append(std::move(operation));
  }
  return patch;
}

template <typename Fill>
Value RandomObjects::Keyed(const char* key, const std::vector<const char*>& names,
                           const Fill& fill) {
  std::vector<const char*> order = names;
  std::shuffle(order.begin(), order.end(), engine_);
  order.resize(static_cast<size_t>(Below(static_cast<int>(order.size())) + 1));
  Value list = Value::Array();
  for (const char* name : order) {
    Value entry = Value::Object();
    entry.Set(key, Text(name));
    fill(entry);
    list.Append(std::move(entry));
  }
  return list;
}

Value RandomObjects::Names(const std::vector<const char*>& names) {
  Value list = Value::Array();
  std::vector<const char*> order = names;
  std::shuffle(order.begin(), order.end(), engine_);
  order.resize(static_cast<size_t>(Below(static_cast<int>(order.size())) + 1));
  for (const char* name : order) list.Append(Text(name));
  return list;
}

Value RandomObjects::Map(const std::vector<const char*>& keys) {
  Value map = Value::Object();
  for (const char* key : keys) {
    if (Chance(50)) map.Set(key, Text(Pick({"1", "2"})));
  }
  if (map.members().empty()) map.Set(keys[0], Text("1"));
  return map;
}

Value RandomObjects::Container() {
  Value more = Value::Object();
  if (Chance(70)) more.Set("image", Text(Pick({"i:1", "i:2"})));
  if (Chance(40)) {
    more.Set("env", Keyed("name", {"A", "B", "C"}, [this](Value& entry) {
               if (Chance(70)) entry.Set("value", Text(Pick({"1", "2"})));
             }));
  }
  if (Chance(40)) {
    Value ports = Value::Array();
    for (int port : {80, 443, 53, 8080}) {
      if (!Chance(50)) continue;
      Value entry = Value::Object();
      entry.Set("containerPort", Value::Int(port));
      if (Chance(50)) entry.Set("protocol", Text(Pick({"TCP", "UDP"})));
      if (Chance(50)) entry.Set("hostPort", Value::Int(Below(2) + 1));
      ports.Append(std::move(entry));
    }
    if (!ports.items().empty()) more.Set("ports", std::move(ports));
  }
  if (Chance(30)) more.Set("args", Names({"x", "y", "z"}));
  if (Chance(30)) {
    Value resources = Value::Object();
    resources.Set("limits", Map({"cpu", "memory"}));
    more.Set("resources", std::move(resources));
  }
  if (Chance(30)) {
    more.Set("volumeMounts", Keyed("mountPath", {"/a", "/b"}, [this](Value& entry) {
               entry.Set("name", Text(Pick({"v", "w"})));
             }));
  }
  return more;
}

Value RandomObjects::Metadata() {
  Value metadata = Value::Object();
  metadata.Set("name", Text("p"));
  metadata.Set("uid", Text("u"));
  if (Chance(60)) metadata.Set("labels", Map({"a", "b", "x/y"}));
  if (Chance(30)) metadata.Set("annotations", Map({"n", "m"}));
  if (Chance(40)) metadata.Set("finalizers", Names({"f/a", "f/b", "f/c", "f/x"}));
  return metadata;
}

Value RandomObjects::Pod() {
  Value pod = Value::Object();
  pod.Set("metadata", Metadata());
  Value spec = Value::Object();
  if (Chance(80)) {
    spec.Set("containers", Keyed("name", {"c1", "c2", "c3"}, [this](Value& entry) {
               Value more = Container();
               for (Member& member : more.members()) entry.Set(member.key, std::move(member.value));
             }));
  }
  if (Chance(30)) spec.Set("nodeSelector", Map({"s", "t"}));
  if (Chance(30)) spec.Set("nodeName", Text(Pick({"n1", "n2"})));
  if (Chance(20)) spec.Set("hostNetwork", Value::Bool(true));
  if (Chance(30)) {
    spec.Set("volumes", Keyed("name", {"v", "w"}, [this](Value& entry) {
               Value source = Value::Object();
               if (Chance(50)) source.Set("medium", Text("Memory"));
               entry.Set("emptyDir", std::move(source));
             }));
  }
  if (Chance(20)) {
    spec.Set("tolerations", Keyed("key", {"k", "l"}, [](Value&) {}));
  }
  if (Chance(20)) {
    Value context = Value::Object();
    context.Set("runAsUser", Value::Int(Below(3)));
    spec.Set("securityContext", std::move(context));
  }
  pod.Set("spec", std::move(spec));
  if (Chance(30)) {
    Value status = Value::Object();
    status.Set("phase", Text(Pick({"Pending", "Running"})));
    if (Chance(50)) {
      status.Set("conditions", Keyed("type", {"Ready", "Initialized"}, [this](Value& entry) {
                   entry.Set("status", Text(Pick({"True", "False"})));
                 }));
    }
    pod.Set("status", std::move(status));
  }
  return pod;
}

void RandomObjects::DirectList(const std::string& name, Value& list, Value& parent) {
  const char* key = MergeKeyOf(name);
  if (key == nullptr || list.items().empty()) return;
  const bool scalars = *key == '\0';
  if (Chance(30)) {
    // All that the patch sets, in its order, and sometimes more.
    Value order = Value::Array();
    for (const Value& item : list.items()) {
      Value entry = Value::Object();
      if (!scalars) entry.Set(key, *item.Find(key));
      order.Append(scalars ? item : std::move(entry));
    }
    parent.Set(absl::StrCat("$setElementOrder/", name), std::move(order));
  }
  // What is both added and deleted has no rule.
  const bool added = std::any_of(list.items().begin(), list.items().end(),
                                 [](const Value& item) { return item.text() == "f/x"; });
  if (scalars && !added && Chance(30)) {
    parent.Set(absl::StrCat("$deleteFromPrimitiveList/", name), Names({"f/x", "f/y"}));
  } else if (!scalars && Chance(20)) {
    Value& item = list.items()[static_cast<size_t>(Below(static_cast<int>(list.items().size())))];
    item.Set("$patch", Text(Pick({"delete", "delete", "replace"})));
  } else if (!scalars && Chance(3)) {
    list.items()[0].Remove(key);
  }
}

void RandomObjects::Direct(Value& patch) {
  std::vector<std::string> lists;
  for (Member& member : patch.members()) {
    if (member.value.is_object()) {
      Direct(member.value);
      if (Chance(4)) member.value.Set("$patch", Text(Pick({"replace", "delete"})));
    } else if (member.value.is_array()) {
      for (Value& item : member.value.items()) {
        if (item.is_object()) Direct(item);
      }
      lists.push_back(member.key);
    } else if (Chance(5)) {
      member.value = Value();
    }
  }
  for (const std::string& name : lists) {
    Value list = *patch.Find(name);
    DirectList(name, list, patch);
    patch.Set(name, std::move(list));
  }
}

Value RandomObjects::PodPatch() {
  Value patch = Pod();
  for (Member& member : patch.members()) {
    if (Chance(90)) Direct(member.value);
  }
  return patch;
}

Value RandomObjects::PodStory() {
  Value request = Value::Object();
  request.Set("op", Text("writes"));
  request.Set("apiVersion", Text("v1"));
  request.Set("kind", Text("Pod"));
  Value writes = Value::Array();
  for (int i = Below(5) + 1; i > 0; --i) {
    Value write = Value::Object();
    write.Set("manager", Text(Pick({"a", "b", "c", "kubectl"})));
    write.Set("apply", Value::Bool(Chance(60)));
    write.Set("force", Value::Bool(Chance(70)));
    write.Set("object", Pod());
    writes.Append(std::move(write));
  }
  request.Set("writes", std::move(writes));
  return request;
}

}  // namespace meltemi::interop
