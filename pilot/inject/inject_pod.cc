#include "pilot/inject/inject_pod.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "pilot/inject/annotations.h"
#include "pilot/inject/merge.h"
#include "pilot/inject/pod_parts.h"
#include "pilot/inject/probes.h"

namespace meltemi::pilot {
namespace {

using json::Member;
using json::Value;

constexpr int kFirstMinorWithNativeSidecars = 29;
constexpr char kUsualId[] = "1337";

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

bool Remove(absl::string_view name, Value* list, Value* removed = nullptr) {
  if (list == nullptr || !list->is_array()) return false;
  for (size_t i = 0; i < list->items().size(); ++i) {
    if (list->items()[i].FindString("name") != name) continue;
    if (removed != nullptr) *removed = std::move(list->items()[i]);
    list->items().erase(list->items().begin() + static_cast<std::ptrdiff_t>(i));
    return true;
  }
  return false;
}

bool HasName(const Value* list, absl::string_view name) {
  if (list == nullptr || !list->is_array()) return false;
  return std::any_of(list->items().begin(), list->items().end(),
                     [name](const Value& item) { return item.FindString("name") == name; });
}

// The list under `key`, made where there is none.
Value& MutableList(Value* object, absl::string_view key) {
  Value* const list = object->Find(key);
  if (list != nullptr && list->is_array()) return *list;
  return object->Set(key, Value::Array());
}

// A list that only injection has filled goes away with what it held.
void DropIfEmpty(absl::string_view key, Value* object) {
  const Value* const list = object->Find(key);
  if (list != nullptr && list->is_array() && list->items().empty()) object->Remove(key);
}

absl::Status CheckShape(const Value& pod) {
  const Value* const spec = pod.Find("spec");
  if (!pod.is_object() || spec == nullptr || !spec->is_object()) {
    return Wrong("a pod needs a spec");
  }
  const Value* const metadata = pod.Find("metadata");
  if (metadata != nullptr && !metadata->is_object()) return Wrong("metadata must be an object");
  for (const char* key : {"labels", "annotations"}) {
    const Value* const map = metadata == nullptr ? nullptr : metadata->Find(key);
    if (map != nullptr && !map->is_object() && !map->is_null()) {
      return Wrong(absl::StrCat("metadata.", key, " must be an object"));
    }
  }
  for (const char* key : {"containers", "initContainers", "volumes", "imagePullSecrets"}) {
    const Value* const list = spec->Find(key);
    if (list == nullptr || list->is_null()) continue;
    if (!list->is_array()) return Wrong(absl::StrCat("spec.", key, " must be a list"));
    for (const Value& item : list->items()) {
      if (!item.is_object()) return Wrong(absl::StrCat("spec.", key, " must be a list of objects"));
    }
  }
  return absl::OkStatus();
}

// One injection at work: the pod, and what is known about it.
class Injection {
 public:
  Injection(const Value& pod, absl::string_view ns, const WorkloadMeta& workload,
            const InjectSettings& settings)
      : settings_(settings), pod_(pod) {
    facts_.ns = std::string(ns);
    facts_.workload = workload;
  }

  absl::StatusOr<InjectedPod> Run() {
    if (absl::Status status = CheckShape(pod_); !status.ok()) return status;
    Value& metadata = pod_.MutableObject("metadata");
    facts_.labels = TextsOf(metadata.Find("labels"));
    facts_.annotations = TextsOf(metadata.Find("annotations"));
    if (absl::Status status = ReadWishes(); !status.ok()) return status;
    if (absl::Status status = UndoEarlier(); !status.ok()) return status;
    TakeUsersContainers();
    LookAtApplication();
    Assemble();
    Describe(metadata);
    return InjectedPod{std::move(pod_), std::move(warnings_)};
  }

 private:
  absl::Status ReadWishes();
  absl::Status UndoEarlier();
  void TakeUsersContainers();
  void LookAtApplication();
  void Assemble();
  void RewriteAppProbes(Value* proxy);
  void AddVolumesAndSecrets();
  void Describe(Value& metadata);
  std::string Status() const;

  Value& spec() { return *pod_.Find("spec"); }

  const InjectSettings& settings_;
  Value pod_;
  PodFacts facts_;
  std::vector<std::string> warnings_;
  bool injected_before_ = false;
  Value earlier_probers_ = Value::Object();
  Value users_proxy_, users_init_;  // null: none
  bool users_proxy_was_init_ = false;
  // What the status annotation tells.
  std::vector<std::string> init_containers_, containers_, secrets_;
};

absl::Status Injection::ReadWishes() {
  if (absl::Status status = CheckAnnotations(facts_.annotations); !status.ok()) return status;
  facts_.proxy_config = settings_.proxy_config;
  const std::string config = ValueOr(facts_.annotations, kProxyConfigAnnotation, "");
  absl::Status status = ApplyProxyConfig(config, &facts_.proxy_config, &warnings_);
  if (!status.ok()) {
    return Wrong(absl::StrCat("annotation '", kProxyConfigAnnotation, "': ", status.message()));
  }
  const std::string templates = ValueOr(facts_.annotations, kTemplatesAnnotation, "sidecar");
  for (absl::string_view name : absl::StrSplit(templates, ',', absl::SkipEmpty())) {
    if (name != "sidecar" && name != "gateway") {
      return Wrong(
          absl::StrCat("requested template \"", name, "\" not found; have sidecar, gateway"));
    }
    facts_.gateway = name == "gateway";
  }
  const absl::string_view dns = spec().FindString("dnsPolicy");
  if (!dns.empty() && dns != "ClusterFirst") {
    warnings_.push_back(absl::StrCat("dnsPolicy is ", dns,
                                     ", not ClusterFirst: the sidecar may not find the control "
                                     "plane"));
  }
  return absl::OkStatus();
}

// Takes away what an earlier injection has put in, by the status that it has left.
absl::Status Injection::UndoEarlier() {
  const std::string text = ValueOr(facts_.annotations, kStatusAnnotation, "");
  if (text.empty()) return absl::OkStatus();
  const absl::StatusOr<Value> status = json::Parse(text);
  if (!status.ok() || !status->is_object()) return absl::OkStatus();  // not ours: written anew
  injected_before_ = true;
  const std::pair<const char*, const char*> lists[] = {{"initContainers", "initContainers"},
                                                       {"containers", "containers"},
                                                       {"volumes", "volumes"},
                                                       {"imagePullSecrets", "imagePullSecrets"}};
  for (const auto& [told, list] : lists) {
    const Value* const names = status->Find(told);
    if (names == nullptr || !names->is_array()) continue;
    for (const Value& name : names->items()) {
      Value removed;
      if (!Remove(name.text(), spec().Find(list), &removed) || name.text() != kProxyContainer) {
        continue;
      }
      const Value* const env = removed.Find("env");
      if (env == nullptr || !env->is_array()) continue;
      for (const Value& variable : env->items()) {
        if (variable.FindString("name") != kProbersEnv) continue;
        absl::StatusOr<Value> probers =
            json::Parse(absl::StrReplaceAll(variable.FindString("value"), {{"$$", "$"}}));
        if (probers.ok() && probers->is_object()) earlier_probers_ = *std::move(probers);
      }
    }
    DropIfEmpty(list, &spec());
  }
  // What the user had written about our containers comes back.
  const std::string overrides = ValueOr(facts_.annotations, kOverridesAnnotation, "");
  if (overrides.empty()) return absl::OkStatus();
  const absl::StatusOr<Value> said = json::Parse(overrides);
  if (!said.ok() || !said->is_object()) {
    return Wrong(absl::StrCat("annotation '", kOverridesAnnotation, "' is no JSON object"));
  }
  for (const char* key : {"containers", "initContainers"}) {
    const Value* const list = said->Find(key);
    if (list == nullptr || !list->is_array()) continue;
    for (const Value& container : list->items()) {
      const absl::string_view name = container.FindString("name");
      if (name != kProxyContainer && name != kInitContainer) continue;
      if (!HasName(spec().Find(key), name)) MutableList(&spec(), key).Append(container);
    }
  }
  return absl::OkStatus();
}

void Injection::TakeUsersContainers() {
  for (const char* key : {"containers", "initContainers"}) {
    const bool init = absl::string_view(key) == "initContainers";
    if (Remove(kProxyContainer, spec().Find(key), &users_proxy_)) users_proxy_was_init_ = init;
    if (init) Remove(kInitContainer, spec().Find(key), &users_init_);
  }
  const Value* const context = users_proxy_.Find("securityContext");
  if (context == nullptr) return;
  // The rules must know the proxy by the uid that it really has; root's would let everything pass.
  const auto take = [context](const char* name, std::string* out) {
    const Value* const id = context->Find(name);
    if (id != nullptr && id->AsInt64().value_or(0) > 0) *out = id->text();
  };
  take("runAsUser", &facts_.proxy_uid);
  take("runAsGroup", &facts_.proxy_gid);
}

void Injection::LookAtApplication() {
  const Value* const containers = spec().Find("containers");
  if (containers != nullptr && containers->is_array()) {
    for (const Value& container : containers->items()) {
      facts_.app_containers.emplace_back(container.FindString("name"));
    }
  }
  bool native = settings_.native_sidecars == NativeSidecars::kAlways;
  if (settings_.native_sidecars == NativeSidecars::kByVersion) {
    native = settings_.server_minor == 0 || settings_.server_minor >= kFirstMinorWithNativeSidecars;
  }
  native = BoolOr(facts_.annotations, "sidecar.istio.io/nativeSidecar", native);
  // A pod of nothing but the proxy needs it as its container.
  facts_.native = native && !facts_.gateway && !facts_.app_containers.empty();
  facts_.hold = !facts_.native && !facts_.app_containers.empty();
}

void Injection::RewriteAppProbes(Value* proxy) {
  if (facts_.gateway || !BoolOr(facts_.annotations, "sidecar.istio.io/rewriteAppHTTPProbers",
                                settings_.rewrite_probes)) {
    return;
  }
  uint32_t port = settings_.probes_port;
  const std::string said = ValueOr(facts_.annotations, "status.sidecar.istio.io/port", "");
  if (!said.empty() && !absl::SimpleAtoi(said, &port)) return;  // CheckAnnotations has looked
  Value probers = RewriteProbes(port, &pod_);
  for (const Member& earlier : earlier_probers_.members()) {
    if (probers.Find(earlier.key) == nullptr) probers.Set(earlier.key, earlier.value);
  }
  if (probers.members().empty()) return;
  std::sort(probers.members().begin(), probers.members().end(),
            [](const Member& a, const Member& b) { return a.key < b.key; });
  Value variable = Value::Object();
  variable.Set("name", Value::String(kProbersEnv));
  variable.Set("value", Value::String(absl::StrReplaceAll(json::ToString(probers), {{"$", "$$"}})));
  MutableList(proxy, "env").Append(std::move(variable));
  MutableList(proxy, "args").Append(Value::String(absl::StrCat("--probes=$(", kProbersEnv, ")")));
}

void Injection::Assemble() {
  Value proxy = ProxyContainer(facts_, settings_);
  if (users_proxy_.is_object()) proxy = MergeContainer(proxy, users_proxy_);
  RewriteAppProbes(&proxy);
  Value& containers = MutableList(&spec(), "containers");
  if (facts_.native) {
    init_containers_.push_back(kProxyContainer);
    Value& list = MutableList(&spec(), "initContainers");
    list.items().insert(list.items().begin(), std::move(proxy));
  } else {
    proxy.Remove("restartPolicy");
    containers_.push_back(kProxyContainer);
    const auto at = facts_.hold ? containers.items().begin() : containers.items().end();
    containers.items().insert(at, std::move(proxy));
  }
  if (!settings_.cni && !facts_.gateway) {
    Value init = InitContainer(facts_, settings_);
    if (users_init_.is_object()) init = MergeContainer(init, users_init_);
    // Beside the application the proxy does not run yet while init containers do: they come first.
    Value& list = MutableList(&spec(), "initContainers");
    list.items().insert(facts_.native ? list.items().begin() : list.items().end(), std::move(init));
    init_containers_.insert(init_containers_.begin(), kInitContainer);
  }
  AddVolumesAndSecrets();
  if (!settings_.legacy_fs_group) return;
  Value& context = spec().MutableObject("securityContext");
  if (context.is_object() && context.Find("fsGroup") == nullptr) {
    context.Set("fsGroup", Value::Int(kProxyId));
  }
}

void Injection::AddVolumesAndSecrets() {
  Value& volumes = MutableList(&spec(), "volumes");
  const Value ours = Volumes();
  for (const Value& volume : ours.items()) {
    Remove(volume.FindString("name"), &volumes);
    volumes.Append(volume);
  }
  for (const std::string& name : settings_.image_pull_secrets) {
    Value& secrets = MutableList(&spec(), "imagePullSecrets");
    if (HasName(&secrets, name)) continue;
    Value secret = Value::Object();
    secret.Set("name", Value::String(name));
    secrets.Append(std::move(secret));
    secrets_.push_back(name);
  }
}

std::string Injection::Status() const {
  std::string text;
  json::Writer writer(&text);
  const auto list = [&writer](const char* key, const std::vector<std::string>& names) {
    writer.Key(key);
    if (names.empty()) {
      writer.Null();
      return;
    }
    writer.BeginArray();
    for (const std::string& name : names) writer.String(name);
    writer.EndArray();
  };
  std::vector<std::string> volumes;
  const Value ours = Volumes();
  for (const Value& volume : ours.items()) volumes.emplace_back(volume.FindString("name"));
  writer.BeginObject();
  list("initContainers", init_containers_);
  list("containers", containers_);
  list("volumes", volumes);
  list("imagePullSecrets", secrets_);
  writer.Key("revision").String(settings_.revision);
  writer.EndObject();
  return text;
}

void Injection::Describe(Value& metadata) {
  Value& labels = metadata.MutableObject("labels");
  const auto label = [&](const char* name, const std::string& value) {
    if (facts_.labels.count(name) == 0) labels.Set(name, Value::String(value));
  };
  label("security.istio.io/tlsMode", "istio");
  label("service.istio.io/canonical-name", CanonicalName(facts_.labels, facts_.workload));
  label("service.istio.io/canonical-revision", CanonicalRevision(facts_.labels));
  Value& annotations = metadata.MutableObject("annotations");
  const auto annotate = [&annotations](const std::string& name, const std::string& value) {
    annotations.Set(name, Value::String(value));
  };
  annotate(kRevisionLabel, settings_.revision);
  if (!facts_.app_containers.empty()) {
    for (const char* name : {"kubectl.kubernetes.io/default-container",
                             "kubectl.kubernetes.io/default-logs-container"}) {
      if (facts_.annotations.count(name) == 0) annotate(name, facts_.app_containers[0]);
    }
  }
  if (settings_.cni && !facts_.gateway) {
    annotate("sidecar.istio.io/interceptionMode", "REDIRECT");
    for (const auto& [name, value] : RedirectAnnotations(facts_, settings_)) annotate(name, value);
    // The plugin sees annotations alone.
    if (facts_.proxy_uid != kUsualId) annotate("proxy.meltemi.dev/uid", facts_.proxy_uid);
    if (facts_.proxy_gid != kUsualId) annotate("proxy.meltemi.dev/gid", facts_.proxy_gid);
  }
  const bool scraped = facts_.annotations.count("prometheus.io/scrape") > 0 ||
                       facts_.annotations.count("prometheus.io/port") > 0;
  if (!scraped && BoolOr(facts_.annotations, "prometheus.istio.io/merge-metrics",
                         settings_.prometheus_annotations)) {
    annotate("prometheus.io/scrape", "true");
    annotate("prometheus.io/port", "15090");
    annotate("prometheus.io/path", "/stats/prometheus");
  }
  if (!injected_before_ && (users_proxy_.is_object() || users_init_.is_object())) {
    Value overrides = Value::Object();
    if (users_proxy_.is_object()) {
      MutableList(&overrides, users_proxy_was_init_ ? "initContainers" : "containers")
          .Append(users_proxy_);
    }
    if (users_init_.is_object()) MutableList(&overrides, "initContainers").Append(users_init_);
    annotate(kOverridesAnnotation, json::ToString(overrides));
  }
  for (const auto& [name, value] : settings_.injected_annotations) annotate(name, value);
  annotate(kStatusAnnotation, Status());
}

}  // namespace

absl::StatusOr<InjectedPod> InjectPod(const Value& pod, absl::string_view ns,
                                      const WorkloadMeta& workload,
                                      const InjectSettings& settings) {
  return Injection(pod, ns, workload, settings).Run();
}

}  // namespace meltemi::pilot
