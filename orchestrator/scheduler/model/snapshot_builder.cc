#include "orchestrator/scheduler/model/snapshot_builder.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/yaml/parse.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"

namespace meltemi::scheduler {
namespace {

using json::Value;

// Of all builders, so that a rule that compares generations never takes one snapshot for another.
int64_t NextGeneration() {
  static std::atomic<int64_t> last{0};
  return ++last;
}

Value ParseYaml(absl::string_view text) {
  if (text.empty()) return Value::Object();
  absl::StatusOr<Value> value = yaml::Parse(text);
  if (!value.ok()) ADD_FAILURE() << value.status() << " in\n" << text;
  return value.ok() ? *std::move(value) : Value::Object();
}

template <typename Message>
std::shared_ptr<const Message> Decode(absl::string_view json) {
  auto message = std::make_shared<Message>();
  absl::Status status = kube::FromJson(json, message.get());
  if (!status.ok()) ADD_FAILURE() << status << " in\n" << json;
  return message;
}

// Amounts may be written as numbers.
Value Amounts(const Value& from) {
  Value amounts = Value::Object();
  for (const json::Member& member : from.members()) {
    amounts.Set(member.key, Value::String(member.value.text()));
  }
  return amounts;
}

// "key=value:Effect", "key:Effect".
Value TaintOf(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::pair<std::string, std::string> pair =
      absl::StrSplit(parts.first, absl::MaxSplits('=', 1));
  Value taint = Value::Object();
  taint.Set("key", Value::String(pair.first));
  taint.Set("value", Value::String(pair.second));
  taint.Set("effect", Value::String(parts.second));
  return taint;
}

Value ImageOf(const json::Member& member) {
  Value image = Value::Object();
  image.Set("names", Value::Array()).Append(Value::String(member.key));
  image.Set("sizeBytes", member.value);
  return image;
}

// The container of a pod, by the short members.
Value ContainerOf(const Value& words) {
  Value container = Value::Object();
  container.Set("name", Value::String("c"));
  const Value* image = words.Find("image");
  container.Set("image", image == nullptr ? Value::String("app") : *image);
  if (const Value* requests = words.Find("requests")) {
    container.MutableObject("resources").Set("requests", Amounts(*requests));
  }
  if (const Value* port = words.Find("hostPort")) {
    Value entry = Value::Object();
    entry.Set("containerPort", *port);
    entry.Set("hostPort", *port);
    container.Set("ports", Value::Array()).Append(std::move(entry));
  }
  return container;
}

NodePtr NodeOf(const std::string& name, const Value& words) {
  Value node = Value::Object(), spec = Value::Object(), status = Value::Object();
  node.Set("metadata", Value::Object()).Set("name", Value::String(name));
  Value allocatable = Value::Object();
  allocatable.Set("cpu", Value::String("4"));
  allocatable.Set("memory", Value::String("16Gi"));
  allocatable.Set("pods", Value::String("110"));
  for (const json::Member& word : words.members()) {
    if (word.key == "labels") {
      node.MutableObject("metadata").Set("labels", Amounts(word.value));
    } else if (word.key == "taints") {
      Value& taints = spec.Set("taints", Value::Array());
      for (const Value& text : word.value.items()) taints.Append(TaintOf(text.text()));
    } else if (word.key == "unschedulable") {
      spec.Set("unschedulable", word.value);
    } else if (word.key == "images") {
      Value& images = status.Set("images", Value::Array());
      for (const json::Member& image : word.value.members()) images.Append(ImageOf(image));
    } else {
      allocatable.Set(word.key, Value::String(word.value.text()));
    }
  }
  status.Set("allocatable", std::move(allocatable));
  node.Set("spec", std::move(spec));
  node.Set("status", std::move(status));
  return Decode<kube::core::v1::Node>(json::ToString(node));
}

PodPtr PodOf(const std::string& name, const Value& words, const std::string& node_name) {
  Value metadata = Value::Object(), spec = Value::Object();
  metadata.Set("name", Value::String(name));
  metadata.Set("namespace", Value::String("default"));
  spec.Set("containers", Value::Array()).Append(ContainerOf(words));
  for (const json::Member& word : words.members()) {
    if (word.key == "labels") {
      metadata.Set("labels", Amounts(word.value));
    } else if (word.key == "namespace") {
      metadata.Set("namespace", word.value);
    } else if (word.key == "terminating") {
      metadata.Set("deletionTimestamp", Value::String("2024-01-01T00:00:00Z"));
    } else if (word.key == "overhead" || word.key == "nodeSelector") {
      spec.Set(word.key, Amounts(word.value));
    } else if (word.key != "requests" && word.key != "image" && word.key != "hostPort" &&
               word.key != "on") {
      spec.Set(word.key, word.value);
    }
  }
  metadata.Set("uid", Value::String(absl::StrCat(metadata.FindString("namespace"), "/", name)));
  if (!node_name.empty()) spec.Set("nodeName", Value::String(node_name));
  Value pod = Value::Object();
  pod.Set("metadata", std::move(metadata));
  pod.Set("spec", std::move(spec));
  return Decode<kube::core::v1::Pod>(json::ToString(pod));
}

}  // namespace

NodePtr NodeFromJson(absl::string_view json) { return Decode<kube::core::v1::Node>(json); }
PodPtr PodFromJson(absl::string_view json) { return Decode<kube::core::v1::Pod>(json); }

NodePtr MakeNode(const std::string& name, absl::string_view yaml) {
  return NodeOf(name, ParseYaml(yaml));
}

PodPtr MakePod(const std::string& name, absl::string_view yaml, const std::string& node_name) {
  return PodOf(name, ParseYaml(yaml), node_name);
}

SnapshotBuilder& SnapshotBuilder::Nodes(absl::string_view yaml) {
  const Value nodes = ParseYaml(yaml);
  for (const json::Member& node : nodes.members()) Add(NodeOf(node.key, node.value));
  return *this;
}

SnapshotBuilder& SnapshotBuilder::Pods(absl::string_view yaml) {
  const Value pods = ParseYaml(yaml);
  for (const json::Member& pod : pods.members()) {
    Add(PodOf(pod.key, pod.value, std::string(pod.value.FindString("on"))));
  }
  return *this;
}

void SnapshotBuilder::Touch(NodeInfo& node) {
  node.generation = NextGeneration();
  snapshot_.generation_ = node.generation;
  if (node.place >= 0) snapshot_.NoteChange(node.place);
}

SnapshotBuilder& SnapshotBuilder::Add(const NodePtr& node) {
  auto info = std::make_unique<NodeInfo>();
  info->facts = MakeNodeFacts(node);
  Touch(*info);
  CountImages(*info->facts, 1);
  snapshot_.nodes_.push_back(info.get());
  reorder_ = true;
  snapshot_.by_name_[node->metadata().name()] = std::move(info);
  return *this;
}

SnapshotBuilder& SnapshotBuilder::Add(const PodPtr& pod) {
  AddInfo(MakePodInfo(pod), pod->spec().node_name());
  return *this;
}

void SnapshotBuilder::AddInfo(const PodInfoPtr& pod, const std::string& node_name) {
  NodeInfo* node = snapshot_.Find(node_name);
  if (node == nullptr) {
    ADD_FAILURE() << "no node " << node_name;
    return;
  }
  node->AddPod(pod);
  Touch(*node);
}

SnapshotBuilder& SnapshotBuilder::Namespace(const std::string& name, kube::StringPairs labels) {
  std::sort(labels.begin(), labels.end());
  snapshot_.namespace_labels_[name] = std::move(labels);
  return *this;
}

void SnapshotBuilder::CountImages(const NodeFacts& facts, int by) {
  for (const auto& [image, bytes] : facts.image_bytes) {
    if ((snapshot_.image_nodes_[image] += by) == 0) snapshot_.image_nodes_.erase(image);
  }
}

void SnapshotBuilder::Replace(const NodePtr& node) {
  NodeInfo& info = At(node->metadata().name());
  CountImages(*info.facts, -1);
  info.facts = MakeNodeFacts(node);
  CountImages(*info.facts, 1);
  Touch(info);
}

void SnapshotBuilder::RemoveNode(const std::string& name) {
  NodeInfo& info = At(name);
  CountImages(*info.facts, -1);
  reorder_ = true;
  snapshot_.nodes_.erase(std::find(snapshot_.nodes_.begin(), snapshot_.nodes_.end(), &info));
  snapshot_.by_name_.erase(name);
}

bool SnapshotBuilder::Remove(const PodInfo& pod, const std::string& node_name) {
  NodeInfo& node = At(node_name);
  Touch(node);
  return node.RemovePod(pod);
}

const Snapshot& SnapshotBuilder::Build() {
  snapshot_.with_affinity_.clear();
  snapshot_.with_required_anti_affinity_.clear();
  if (reorder_) snapshot_.SetOrder(NextGeneration());
  reorder_ = false;
  for (NodeInfo* node : snapshot_.nodes_) {
    if (!node->pods_with_affinity.empty()) snapshot_.with_affinity_.push_back(node);
    if (!node->pods_with_required_anti_affinity.empty()) {
      snapshot_.with_required_anti_affinity_.push_back(node);
    }
  }
  return snapshot_;
}

}  // namespace meltemi::scheduler
