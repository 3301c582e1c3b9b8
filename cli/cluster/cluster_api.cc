#include "cli/cluster/cluster_api.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/tls/certificate.h"
#include "base/yaml/parse.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "kube/discovery/discovery.h"

namespace meltemi::cli {
namespace {

using json::Value;

constexpr char kSecrets[] = "/api/v1/namespaces/kube-system/secrets";
constexpr char kConfigMaps[] = "/api/v1/namespaces/kube-public/configmaps";
constexpr char kInfo[] = "cluster-info";

absl::Status ToStatus(const kube::Status& status) {
  if (status.code == 0) return absl::UnavailableError(status.message);
  if (status.code == 401) return absl::UnauthenticatedError(status.message);
  return absl::InternalError(status.message);
}

Value Texts(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Value out = Value::Object();
  for (const auto& [key, text] : pairs) out.Add(key, Value::String(text));
  return out;
}

Value ObjectOf(const char* kind, const std::string& name, const char* ns) {
  Value object = Texts({{"apiVersion", "v1"}, {"kind", kind}});
  object.Add("metadata", Texts({{"name", name}, {"namespace", ns}}));
  return object;
}

// Of lower-case letters and digits, from the kernel.
std::string RandomText(size_t length) {
  constexpr absl::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  // As many of a byte's values as make whole rounds: no letter is more likely than another.
  constexpr unsigned kFair = 256 / kLetters.size() * kLetters.size();
  std::string out;
  while (out.size() < length) {
    unsigned char byte = 255;
    if (getrandom(&byte, 1, 0) == 1 && byte < kFair)
      out.push_back(kLetters[byte % kLetters.size()]);
  }
  return out;
}

std::string Member(const Value& object, absl::string_view key) {
  return std::string(object.FindString(key));
}

NodeState StateOf(const Value& node) {
  NodeState state;
  const Value* metadata = node.Find("metadata");
  state.name = metadata == nullptr ? "" : Member(*metadata, "name");
  const Value* unschedulable = node.Find("spec", "unschedulable");
  state.schedulable = unschedulable == nullptr || !unschedulable->bool_value();
  const Value* info = node.Find("status", "nodeInfo");
  if (info != nullptr) state.version = Member(*info, "kubeletVersion");
  if (const Value* addresses = node.Find("status", "addresses")) {
    for (const Value& address : addresses->items()) {
      if (Member(address, "type") == "InternalIP") state.address = Member(address, "address");
    }
  }
  state.not_ready_why = "its kubelet has not said anything yet";
  const Value* conditions = node.Find("status", "conditions");
  if (conditions == nullptr) return state;
  for (const Value& condition : conditions->items()) {
    const std::string type = Member(condition, "type"), status = Member(condition, "status");
    const std::string words =
        absl::StrCat(Member(condition, "reason"), ": ", Member(condition, "message"));
    if (type == "Ready") {
      state.ready = status == "True";
      state.not_ready_why = state.ready ? "" : words;
    } else if (status != "False") {
      state.troubles.push_back(absl::StrCat(type, ": ", words));
    }
  }
  return state;
}

class RealApi final : public ClusterApi {
 public:
  explicit RealApi(kube::ClusterAccess access) : access_(std::move(access)) {}

  absl::Status Connect() {
    absl::StatusOr<std::unique_ptr<kube::Client>> client =
        kube::NewHttpClient(access_, clock_, {.user_agent = "meltemi"});
    if (!client.ok()) return client.status();
    client_ = *std::move(client);
    return absl::OkStatus();
  }

  absl::StatusOr<BootstrapToken> NewToken(const std::string& description,
                                          int64_t seconds) override {
    const BootstrapToken token{RandomText(6), RandomText(16)};
    Value secret = ObjectOf("Secret", "bootstrap-token-" + token.id, "kube-system");
    secret.Add("type", Value::String("bootstrap.kubernetes.io/token"));
    secret.Add("stringData",
               Texts({{"token-id", token.id},
                      {"token-secret", token.secret},
                      {"description", description},
                      {"expiration",
                       absl::FormatTime(absl::RFC3339_sec, absl::Now() + absl::Seconds(seconds),
                                        absl::UTCTimeZone())},
                      {"usage-bootstrap-authentication", "true"},
                      {"usage-bootstrap-signing", "true"}}));
    const kube::Result<Value> made = Call("POST", kSecrets, &secret);
    if (!made.ok()) return ToStatus(made.status());
    return token;
  }

  absl::Status PublishClusterInfo(const std::string& server, const std::string& ca_pem,
                                  const ClusterNetwork& network) override {
    Value map = ObjectOf("ConfigMap", kInfo, "kube-public");
    const std::string kubeconfig = absl::StrCat(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: ", server,
        "\n    certificate-authority-data: ", absl::Base64Escape(ca_pem),
        "\ncontexts: null\ncurrent-context: \"\"\npreferences: {}\nusers: null\n");
    map.Add("data", Texts({{"kubeconfig", kubeconfig},
                           {"podCIDR", network.pod_cidr},
                           {"dnsIP", network.dns_ip},
                           {"domain", network.domain},
                           {"proxyMode", network.proxy_mode},
                           {"mesh", network.mesh ? "true" : "false"}}));
    kube::Result<Value> made = Call("POST", kConfigMaps, &map);
    if (!made.ok() && kube::IsAlreadyExists(made.status())) {
      made = Call("PUT", absl::StrCat(kConfigMaps, "/", kInfo), &map);
    }
    return made.ok() ? absl::OkStatus() : ToStatus(made.status());
  }

  absl::StatusOr<std::vector<NodeState>> Nodes() override {
    const kube::Result<Value> list = Call("GET", "/api/v1/nodes", nullptr);
    if (!list.ok()) return ToStatus(list.status());
    std::vector<NodeState> out;
    if (const Value* items = list->Find("items")) {
      for (const Value& node : items->items()) out.push_back(StateOf(node));
    }
    return out;
  }

  absl::Status Apply(const std::vector<Value>& objects) override {
    const kube::Result<kube::ServedResources> served = kube::Discover(*client_);
    if (!served.ok()) return ToStatus(served.status());
    for (const Value& object : objects) {
      const Value* metadata = object.Find("metadata");
      const std::string name = metadata == nullptr ? "" : Member(*metadata, "name");
      const std::string what = absl::StrCat(Member(object, "kind"), " ", name);
      const kube::ServedResource* known =
          served->FindKind(object.FindString("apiVersion"), object.FindString("kind"));
      if (known == nullptr) {
        return absl::NotFoundError(absl::StrCat(what, ": the API server has no such kind"));
      }
      kube::ApiCall call;
      call.method = "PATCH";
      call.path = known->resource.Path(Member(*metadata, "namespace"), name);
      call.query = {{"fieldManager", "meltemi"}, {"force", "true"}};
      call.content_type = "application/apply-patch+yaml";
      call.body = json::ToString(object);
      const kube::Result<kube::ApiAnswer> applied = client_->Call(call);
      if (!applied.ok()) {
        return absl::InternalError(absl::StrCat(what, ": ", applied.status().message));
      }
    }
    return absl::OkStatus();
  }

  kube::Result<Value> Call(const std::string& method, const std::string& path, const Value* body) {
    kube::ApiCall call;
    call.method = method;
    call.path = path;
    call.timeout = seconds(10);
    if (body != nullptr) call.body = json::ToString(*body);
    const kube::Result<kube::ApiAnswer> answer = client_->Call(call);
    if (!answer.ok()) return answer.status();
    absl::StatusOr<Value> value = json::Parse(answer->body);
    if (!value.ok()) return kube::InternalError(value.status().message());
    return *std::move(value);
  }

 private:
  const kube::ClusterAccess access_;
  const SystemClock clock_;
  std::unique_ptr<kube::Client> client_;
};

bool IsLowerAlnum(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c);
  });
}

// Of the ConfigMap's data.
absl::StatusOr<ClusterInfo> ReadInfo(const Value& data) {
  const absl::StatusOr<Value> kubeconfig = yaml::Parse(Member(data, "kubeconfig"));
  const Value* clusters = kubeconfig.ok() ? kubeconfig->Find("clusters") : nullptr;
  if (clusters == nullptr || clusters->items().empty()) {
    return absl::InvalidArgumentError("its cluster-info holds no kubeconfig");
  }
  const Value* cluster = clusters->items()[0].Find("cluster");
  ClusterInfo info;
  if (cluster == nullptr ||
      !absl::Base64Unescape(Member(*cluster, "certificate-authority-data"), &info.ca_pem)) {
    return absl::InvalidArgumentError("its cluster-info holds no certificate authority");
  }
  info.server = Member(*cluster, "server");
  const auto take = [&data](absl::string_view key, std::string* out) {
    const std::string text = Member(data, key);
    if (!text.empty()) *out = text;
  };
  take("podCIDR", &info.network.pod_cidr);
  take("dnsIP", &info.network.dns_ip);
  take("domain", &info.network.domain);
  take("proxyMode", &info.network.proxy_mode);
  info.network.mesh = Member(data, "mesh") == "true";
  return info;
}

}  // namespace

absl::StatusOr<BootstrapToken> ParseBootstrapToken(const std::string& text) {
  if (text.size() != 23 || text[6] != '.' || !IsLowerAlnum(text.substr(0, 6)) ||
      !IsLowerAlnum(text.substr(7))) {
    return absl::InvalidArgumentError(
        "a token is six and sixteen lower-case letters and digits: abcdef.0123456789abcdef");
  }
  return BootstrapToken{text.substr(0, 6), text.substr(7)};
}

absl::StatusOr<std::unique_ptr<ClusterApi>> ClusterApi::Open(const std::string& kubeconfig) {
  absl::StatusOr<kube::ClusterAccess> access = kube::ReadKubeconfig(kubeconfig);
  if (!access.ok()) return access.status();
  auto api = std::make_unique<RealApi>(*std::move(access));
  if (absl::Status status = api->Connect(); !status.ok()) return status;
  return std::unique_ptr<ClusterApi>(std::move(api));
}

absl::StatusOr<std::string> CaHash(const std::string& ca_pem) {
  const absl::StatusOr<tls::PublicKey> key = tls::ReadPublicKeyPem(ca_pem);
  if (!key.ok()) return key.status();
  return "sha256:" + absl::BytesToHexString(tls::Sha256(key->der));
}

absl::StatusOr<ClusterInfo> FetchClusterInfo(const std::string& server,
                                             const std::string& ca_hash) {
  kube::ClusterAccess access;
  access.server = server;
  access.insecure = true;  // until its authority is known; nothing secret is said
  RealApi api(access);
  if (absl::Status status = api.Connect(); !status.ok()) return status;
  const kube::Result<Value> map = api.Call("GET", absl::StrCat(kConfigMaps, "/", kInfo), nullptr);
  if (!map.ok()) {
    return absl::UnavailableError(
        absl::StrCat(server, ": ", map.status().message,
                     map.status().code == 0 ? "" : "; was it set up with `meltemi up`?"));
  }
  const Value* data = map->Find("data");
  absl::StatusOr<ClusterInfo> info = ReadInfo(data == nullptr ? Value::Object() : *data);
  if (!info.ok()) return info;
  const absl::StatusOr<std::string> hash = CaHash(info->ca_pem);
  if (!hash.ok()) return hash.status();
  if (*hash != ca_hash) {
    return absl::PermissionDeniedError(absl::StrCat(
        "whoever answers at ", server, " is not the cluster that you want: its authority is ",
        *hash, ", not ", ca_hash));
  }
  return info;
}

std::string BootstrapKubeconfig(const std::string& server, const std::string& ca_pem,
                                const BootstrapToken& token) {
  return absl::StrCat("apiVersion: v1\nkind: Config\nclusters:\n- name: meltemi\n  cluster:\n",
                      "    server: ", server,
                      "\n    certificate-authority-data: ", absl::Base64Escape(ca_pem),
                      "\nusers:\n- name: kubelet-bootstrap\n  user:\n    token: ", token.text(),
                      "\ncontexts:\n- name: meltemi\n  context:\n    cluster: meltemi\n",
                      "    user: kubelet-bootstrap\ncurrent-context: meltemi\n");
}

}  // namespace meltemi::cli
