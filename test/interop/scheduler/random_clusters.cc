#include "test/interop/scheduler/random_clusters.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::interop {
namespace {

using json::Value;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value List(std::vector<Value> items) {
  Value list = Value::Array();
  for (Value& item : items) list.Append(std::move(item));
  return list;
}

}  // namespace

Value RandomClusters::Labels() {
  Value labels = Value::Object();
  if (Chance(85)) labels.Set("app", Text(Pick({"a", "b", "c"})));
  if (Chance(50)) labels.Set("tier", Text(Pick({"x", "y"})));
  if (Chance(20)) labels.Set("solo", Text(""));
  return labels;
}

Value RandomClusters::Taints() {
  Value taints = Value::Array();
  for (int i = Below(3); i > 0 && Chance(60); --i) {
    Value taint = Value::Object();
    taint.Set("key", Text(Pick({"dedicated", "gpu", "old"})));
    if (Chance(70)) taint.Set("value", Text(Pick({"db", "web"})));
    taint.Set("effect",
              Text(Pick({"NoSchedule", "NoExecute", "PreferNoSchedule", "PreferNoSchedule"})));
    taints.Append(std::move(taint));
  }
  return taints;
}

// An image is of the same size everywhere.
Value RandomClusters::Images() {
  static constexpr std::pair<const char*, int64_t> kImages[] = {
      {"app:latest", 300'000'000},
      {"db:1", 900'000'000},
      {"small:2", 20'000'000},
      {"host:5000/app:latest", 1'500'000'000}};
  Value images = Value::Array();
  for (const auto& [name, bytes] : kImages) {
    if (!Chance(40)) continue;
    Value image = Value::Object();
    image.Set("names", List({Text(name), Text(absl::StrCat("alias/", name))}));
    image.Set("sizeBytes", Value::Int(bytes));
    images.Append(std::move(image));
  }
  return images;
}

Value RandomClusters::Node(const std::string& name) {
  Value node = Value::Object(), metadata = Value::Object(), labels = Value::Object();
  if (Chance(90)) labels.Set("kubernetes.io/hostname", Text(name));
  if (Chance(85)) labels.Set("topology.kubernetes.io/zone", Text(Pick({"z1", "z2", "z3"})));
  if (Chance(60)) labels.Set("disk", Text(Pick({"ssd", "hdd", ""})));
  if (Chance(60)) labels.Set("cores", Text(Pick({"4", "8", "16", "many", "-1"})));
  metadata.Set("name", Text(name));
  metadata.Set("labels", std::move(labels));
  Value spec = Value::Object(), status = Value::Object(), allocatable = Value::Object();
  if (Chance(10)) spec.Set("unschedulable", Value::Bool(true));
  spec.Set("taints", Taints());
  allocatable.Set("cpu", Text(Pick({"1", "2", "4", "3500m", "16"})));
  allocatable.Set("memory", Text(Pick({"1Gi", "2Gi", "3000M", "64Gi", "1073741825"})));
  if (Chance(95)) allocatable.Set("pods", Text(Pick({"2", "5", "10", "110"})));
  if (Chance(60)) allocatable.Set("ephemeral-storage", Text(Pick({"10Gi", "100Gi"})));
  if (Chance(50)) allocatable.Set("example.com/gpu", Text(Pick({"0", "1", "4"})));
  if (Chance(20)) allocatable.Set("hugepages-2Mi", Text("8Mi"));
  status.Set("allocatable", std::move(allocatable));
  status.Set("images", Images());
  node.Set("metadata", std::move(metadata));
  node.Set("spec", std::move(spec));
  node.Set("status", std::move(status));
  return node;
}

Value RandomClusters::Requests() {
  Value requests = Value::Object();
  if (Chance(70)) requests.Set("cpu", Text(Pick({"0", "100m", "250m", "1", "1500m", "333m"})));
  if (Chance(70)) {
    requests.Set("memory", Text(Pick({"0", "64Mi", "500M", "1Gi", "1073741825", "1.5Gi"})));
  }
  if (Chance(20)) requests.Set("ephemeral-storage", Text(Pick({"1Gi", "9Gi"})));
  if (Chance(15)) requests.Set("example.com/gpu", Text(Pick({"0", "1", "2"})));
  if (Chance(5)) requests.Set("hugepages-2Mi", Text(Pick({"2Mi", "16Mi"})));
  return requests;
}

Value RandomClusters::Port(int number) {
  Value port = Value::Object();
  port.Set("containerPort", Value::Int(80));
  if (Chance(80)) port.Set("hostPort", Value::Int(number));
  port.Set("protocol", Text(Pick({"TCP", "TCP", "UDP"})));
  if (Chance(50)) port.Set("hostIP", Text(Pick({"10.0.0.1", "10.0.0.2", "0.0.0.0"})));
  return port;
}

Value RandomClusters::Container(const std::string& name) {
  Value container = Value::Object(), resources = Value::Object();
  container.Set("name", Text(name));
  container.Set("image", Text(Pick({"app", "app:latest", "db:1", "small:2", "host:5000/app",
                                    "alias/db:1", "none:1"})));
  resources.Set("requests", Requests());
  container.Set("resources", std::move(resources));
  if (Chance(15)) container.Set("ports", List({Port(8080 + Below(8))}));
  return container;
}

Value RandomClusters::InitContainers() {
  Value containers = Value::Array();
  for (int i = Below(4); i > 0; --i) {
    Value container = Container(absl::StrCat("init-", i));
    container.Remove("ports");
    if (Chance(50)) container.Set("restartPolicy", Text("Always"));
    containers.Append(std::move(container));
  }
  return containers;
}

Value RandomClusters::Tolerations() {
  Value tolerations = Value::Array();
  for (int i = Below(3); i > 0; --i) {
    Value toleration = Value::Object();
    const bool exists = Chance(50);
    if (exists || Chance(50)) toleration.Set("operator", Text(exists ? "Exists" : "Equal"));
    if (!exists || Chance(80)) {
      toleration.Set("key",
                     Text(Pick({"dedicated", "gpu", "old", "node.kubernetes.io/unschedulable"})));
    }
    if (!exists) toleration.Set("value", Text(Pick({"db", "web", ""})));
    if (Chance(50)) {
      toleration.Set("effect", Text(Pick({"NoSchedule", "NoExecute", "PreferNoSchedule"})));
    }
    tolerations.Append(std::move(toleration));
  }
  return tolerations;
}

Value RandomClusters::NodeRequirement() {
  Value requirement = Value::Object();
  const std::string op = Pick({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"});
  Value values = Value::Array();
  if (op == "Gt" || op == "Lt") {
    requirement.Set("key", Text(Pick({"cores", "cores", "disk"})));
    values.Append(Text(Pick({"4", "7", "8", "-3", "many"})));
  } else {
    requirement.Set("key", Text(Pick({"disk", "topology.kubernetes.io/zone", "cores"})));
    for (int i = Below(3); (op == "In" || op == "NotIn") && i >= 0; --i) {
      values.Append(Text(Pick({"ssd", "hdd", "z1", "z2", "", "8"})));
    }
  }
  requirement.Set("operator", Text(op));
  if (!values.items().empty()) requirement.Set("values", std::move(values));
  return requirement;
}

Value RandomClusters::NodeSelectorTerm() {
  Value term = Value::Object();
  Value expressions = Value::Array();
  for (int i = Below(3); i > 0; --i) expressions.Append(NodeRequirement());
  if (!expressions.items().empty()) term.Set("matchExpressions", std::move(expressions));
  if (Chance(25)) {
    Value fields = Value::Array();
    for (int i = Below(2); i >= 0; --i) {
      Value field = Value::Object();
      field.Set("key", Text("metadata.name"));
      field.Set("operator", Text(Pick({"In", "NotIn", "In"})));
      field.Set("values", List({Text(Pick({"n0", "n1", "n2"}))}));
      if (Chance(5)) field.Find("values")->Append(Text("n3"));
      fields.Append(std::move(field));
    }
    term.Set("matchFields", std::move(fields));
  }
  return term;
}

Value RandomClusters::NodeAffinity() {
  Value affinity = Value::Object();
  if (Chance(50)) {
    Value terms = Value::Array(), selector = Value::Object();
    for (int i = Below(3); i >= 0; --i) terms.Append(NodeSelectorTerm());
    selector.Set("nodeSelectorTerms", std::move(terms));
    affinity.Set("requiredDuringSchedulingIgnoredDuringExecution", std::move(selector));
  }
  Value preferred = Value::Array();
  for (int i = Below(4); i > 0; --i) {
    Value term = Value::Object(), preference = Value::Object();
    term.Set("weight", Value::Int(1 + Below(100)));
    // Mistakes are an error of the whole pod there; the API server has refused them.
    Value requirement = NodeRequirement();
    while (requirement.Find("operator")->text() == "Gt" ||
           requirement.Find("operator")->text() == "Lt") {
      requirement = NodeRequirement();
    }
    preference.Set("matchExpressions", List({std::move(requirement)}));
    term.Set("preference", std::move(preference));
    preferred.Append(std::move(term));
  }
  if (!preferred.items().empty()) {
    affinity.Set("preferredDuringSchedulingIgnoredDuringExecution", std::move(preferred));
  }
  return affinity;
}

Value RandomClusters::LabelSelector() {
  Value selector = Value::Object();
  if (Chance(70)) {
    Value labels = Value::Object();
    labels.Set(Pick({"app", "app", "tier"}), Text(Pick({"a", "b", "x"})));
    selector.Set("matchLabels", std::move(labels));
  }
  if (Chance(30)) {
    const std::string op = Pick({"In", "NotIn", "Exists", "DoesNotExist"});
    Value expression = Value::Object();
    expression.Set("key", Text(Pick({"app", "tier", "solo"})));
    expression.Set("operator", Text(op));
    if (op == "In" || op == "NotIn") {
      expression.Set("values", List({Text(Pick({"a", "b", "x"})), Text(Pick({"c", "y", ""}))}));
    }
    selector.Set("matchExpressions", List({std::move(expression)}));
  }
  return selector;
}

Value RandomClusters::PodAffinityTerm() {
  Value term = Value::Object();
  term.Set("topologyKey", Text(Pick({"kubernetes.io/hostname", "topology.kubernetes.io/zone",
                                     "topology.kubernetes.io/zone", "disk"})));
  if (Chance(95)) term.Set("labelSelector", LabelSelector());
  if (Chance(25)) term.Set("namespaces", List({Text(Pick({"default", "other"}))}));
  if (Chance(25)) {
    Value selector = Value::Object();
    if (Chance(70)) {
      Value labels = Value::Object();
      labels.Set("team", Text(Pick({"red", "blue"})));
      selector.Set("matchLabels", std::move(labels));
    }
    term.Set("namespaceSelector", std::move(selector));
  }
  return term;
}

Value RandomClusters::PodAffinity() {
  Value affinity = Value::Object();
  if (Chance(45)) {
    Value required = Value::Array();
    for (int i = Below(2); i >= 0; --i) required.Append(PodAffinityTerm());
    affinity.Set("requiredDuringSchedulingIgnoredDuringExecution", std::move(required));
  }
  if (Chance(60)) {
    Value preferred = Value::Array();
    for (int i = Below(3); i >= 0; --i) {
      Value term = Value::Object();
      term.Set("weight", Value::Int(1 + Below(100)));
      term.Set("podAffinityTerm", PodAffinityTerm());
      preferred.Append(std::move(term));
    }
    affinity.Set("preferredDuringSchedulingIgnoredDuringExecution", std::move(preferred));
  }
  return affinity;
}

// A key and an action come together once at most.
Value RandomClusters::SpreadConstraints() {
  Value constraints = Value::Array();
  for (const char* key : {"kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"}) {
    for (const char* action : {"DoNotSchedule", "ScheduleAnyway"}) {
      if (!Chance(35)) continue;
      Value constraint = Value::Object();
      constraint.Set("maxSkew", Value::Int(Chance(60) ? 1 : 1 + Below(3)));
      constraint.Set("topologyKey", Text(key));
      constraint.Set("whenUnsatisfiable", Text(action));
      if (Chance(95)) constraint.Set("labelSelector", LabelSelector());
      if (Chance(30) && absl::string_view(action) == "DoNotSchedule") {
        constraint.Set("minDomains", Value::Int(1 + Below(4)));
      }
      if (Chance(30)) constraint.Set("nodeAffinityPolicy", Text(Pick({"Honor", "Ignore"})));
      if (Chance(40)) constraint.Set("nodeTaintsPolicy", Text(Pick({"Honor", "Ignore"})));
      if (Chance(25)) constraint.Set("matchLabelKeys", List({Text(Pick({"tier", "solo"}))}));
      constraints.Append(std::move(constraint));
    }
  }
  return constraints;
}

Value RandomClusters::Pod(const std::string& name) {
  Value pod = Value::Object(), metadata = Value::Object(), spec = Value::Object();
  metadata.Set("name", Text(name));
  metadata.Set("uid", Text(name));
  metadata.Set("namespace",
               Text(Pick({"default", "default", "default", "default", "other", "third"})));
  metadata.Set("labels", Labels());
  Value containers = Value::Array();
  for (int i = Below(2); i >= 0; --i) containers.Append(Container(absl::StrCat("c", i)));
  spec.Set("containers", std::move(containers));
  if (Chance(30)) spec.Set("initContainers", InitContainers());
  if (Chance(10)) {
    Value overhead = Value::Object();
    overhead.Set("cpu", Text("50m"));
    overhead.Set("memory", Text("10Mi"));
    spec.Set("overhead", std::move(overhead));
  }
  if (Chance(40)) {
    Value affinity = Value::Object();
    if (Chance(60)) affinity.Set("podAffinity", PodAffinity());
    if (Chance(60)) affinity.Set("podAntiAffinity", PodAffinity());
    spec.Set("affinity", std::move(affinity));
  }
  pod.Set("metadata", std::move(metadata));
  pod.Set("spec", std::move(spec));
  return pod;
}

Value RandomClusters::Service(const std::string& name) {
  Value service = Value::Object(), metadata = Value::Object(), spec = Value::Object();
  metadata.Set("name", Text(name));
  metadata.Set("namespace", Text(Pick({"default", "default", "other"})));
  Value selector = Value::Object();
  if (Chance(80)) selector.Set("app", Text(Pick({"a", "b"})));
  if (Chance(30)) selector.Set("tier", Text("x"));
  spec.Set("selector", std::move(selector));
  service.Set("metadata", std::move(metadata));
  service.Set("spec", std::move(spec));
  return service;
}

void RandomClusters::Score(Value& question) {
  Value feasible = Value::Array();
  for (const Value& node : question.Find("nodes")->items()) {
    if (Chance(75)) feasible.Append(*node.Find("metadata", "name"));
  }
  if (feasible.items().empty()) feasible.Append(Text("n0"));
  question.Set("feasible", std::move(feasible));
  question.Set("strategy", Text(Pick({"LeastAllocated", "LeastAllocated", "MostAllocated",
                                      "RequestedToCapacityRatio"})));
  Value resources = Value::Array();
  for (const char* name : {"cpu", "memory", "example.com/gpu", "ephemeral-storage"}) {
    if (!resources.items().empty() && !Chance(60)) continue;
    Value resource = Value::Object();
    resource.Set("name", Text(name));
    resource.Set("weight", Value::Int(1 + Below(5)));
    resources.Append(std::move(resource));
  }
  question.Set("resources", std::move(resources));
  Value shape = Value::Array();
  for (int utilization = Below(30); utilization <= 100; utilization += 1 + Below(60)) {
    Value point = Value::Object();
    point.Set("utilization", Value::Int(utilization));
    point.Set("score", Value::Int(Below(11)));
    shape.Append(std::move(point));
  }
  question.Set("shape", std::move(shape));
}

// Up to three pods of a node. Those that are going already are not counted by spreading, but
// kube-scheduler takes them off its count all the same: such ones are not among them.
void RandomClusters::Preempt(Value& question) {
  Value victims = Value::Array();
  const std::string node = absl::StrCat("n", Below(3));
  for (const Value& pod : question.Find("pods")->items()) {
    if (pod.Find("spec")->FindString("nodeName") != node || victims.items().size() == 3 ||
        pod.Find("metadata", "deletionTimestamp") != nullptr) {
      continue;
    }
    if (Chance(60)) victims.Append(*pod.Find("metadata", "name"));
  }
  question.Set("victims", std::move(victims));
}

// No two of them have the same port: kube-scheduler frees it with the first that goes.
Value RandomClusters::RunningPod(const std::string& name, int port, const std::string& node) {
  Value pod = Pod(name);
  Value& spec = *pod.Find("spec");
  for (Value& container : spec.Find("containers")->items()) container.Remove("ports");
  if (Chance(30)) {
    Value with_port = Container("port");
    with_port.Set("ports", List({Port(port)}));
    spec.Find("containers")->Append(std::move(with_port));
  }
  spec.Set("nodeName", Text(node));
  if (Chance(8)) pod.Find("metadata")->Set("deletionTimestamp", Text("2024-01-01T00:00:00Z"));
  return pod;
}

Value RandomClusters::WaitingPod() {
  Value pod = Pod("waiting");
  Value& spec = *pod.Find("spec");
  spec.Set("tolerations", Tolerations());
  if (Chance(60)) spec.Set("topologySpreadConstraints", SpreadConstraints());
  if (Chance(35)) spec.MutableObject("affinity").Set("nodeAffinity", NodeAffinity());
  if (Chance(15)) {
    Value selector = Value::Object();
    selector.Set("disk", Text(Pick({"ssd", "hdd"})));
    spec.Set("nodeSelector", std::move(selector));
  }
  if (Chance(5)) spec.Set("nodeName", Text(Pick({"n0", "n1", "gone"})));
  return pod;
}

Value RandomClusters::Question() {
  Value question = Value::Object(), nodes = Value::Array(), pods = Value::Array();
  const int node_count = 1 + Below(8);
  for (int i = 0; i < node_count; ++i) nodes.Append(Node(absl::StrCat("n", i)));
  for (int i = Below(24); i > 0; --i) {
    pods.Append(RunningPod(absl::StrCat("p", i), 8080 + i, absl::StrCat("n", Below(node_count))));
  }
  Value namespaces = Value::Array(), services = Value::Array();
  for (const char* name : {"default", "other", "third"}) {
    Value ns = Value::Object(), labels = Value::Object();
    if (Chance(80)) labels.Set("team", Text(Pick({"red", "blue"})));
    ns.Set("metadata", Value::Object()).Set("name", Text(name));
    ns.Find("metadata")->Set("labels", std::move(labels));
    namespaces.Append(std::move(ns));
  }
  for (int i = Below(3); i > 0; --i) services.Append(Service(absl::StrCat("s", i)));
  question.Set("nodes", std::move(nodes));
  question.Set("pods", std::move(pods));
  question.Set("pod", WaitingPod());
  question.Set("namespaces", std::move(namespaces));
  question.Set("services", std::move(services));
  Score(question);
  Preempt(question);
  return question;
}

}  // namespace meltemi::interop
