#include "kube/client/kubeconfig.h"

#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/yaml/parse.h"

namespace meltemi::kube {
namespace {

using json::Value;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  if (!in || !(text << in.rdbuf())) {
    return absl::NotFoundError(absl::StrCat(path, ": can't be read"));
  }
  return text.str();
}

class Reader {
 public:
  Reader(const std::string& path, const Value& config) : path_(path), config_(config) {}

  absl::StatusOr<ClusterAccess> Read(absl::string_view context_name) {
    const std::string name(context_name.empty() ? config_.FindString("current-context")
                                                : context_name);
    if (name.empty()) return Error("no current-context is set");
    const absl::StatusOr<const Value*> context = Named("contexts", "context", name);
    if (!context.ok()) return context.status();
    const std::string cluster_name((*context)->FindString("cluster"));
    const std::string user_name((*context)->FindString("user"));
    const absl::StatusOr<const Value*> cluster = Named("clusters", "cluster", cluster_name);
    if (!cluster.ok()) return cluster.status();
    if (const absl::Status read = ReadCluster(**cluster); !read.ok()) return read;
    if (!user_name.empty()) {
      const absl::StatusOr<const Value*> user = Named("users", "user", user_name);
      if (!user.ok()) return user.status();
      if (const absl::Status read = ReadUser(**user, user_name); !read.ok()) return read;
    }
    const absl::string_view ns = (*context)->FindString("namespace");
    if (!ns.empty()) out_.ns = std::string(ns);
    return std::move(out_);
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", what));
  }

  // Of a list of {name, MEMBER}.
  absl::StatusOr<const Value*> Named(const char* list, const char* member,
                                     const std::string& name) const {
    const Value* const items = config_.Find(list);
    if (items != nullptr) {
      for (const Value& item : items->items()) {
        const Value* const value = item.Find(member);
        if (item.FindString("name") == name && value != nullptr) return value;
      }
    }
    return Error(absl::StrCat(list, ": there is none with the name \"", name, "\""));
  }

  std::string Resolved(absl::string_view file) const {
    if (absl::StartsWith(file, "/")) return std::string(file);
    const size_t slash = path_.rfind('/');
    return slash == std::string::npos ? std::string(file)
                                      : absl::StrCat(path_.substr(0, slash + 1), file);
  }

  // KEY-data, in base64, or else the file that KEY names.
  absl::Status ReadData(const Value& from, const std::string& key, std::string* out) const {
    const absl::string_view data = from.FindString(absl::StrCat(key, "-data"));
    if (!data.empty()) {
      if (absl::Base64Unescape(data, out)) return absl::OkStatus();
      return Error(absl::StrCat(key, "-data is no base64"));
    }
    const absl::string_view file = from.FindString(key);
    if (file.empty()) return absl::OkStatus();
    absl::StatusOr<std::string> text = ReadFile(Resolved(file));
    if (!text.ok()) return Error(absl::StrCat(key, ": ", text.status().message()));
    *out = *std::move(text);
    return absl::OkStatus();
  }

  absl::Status ReadCluster(const Value& cluster) {
    out_.server = std::string(cluster.FindString("server"));
    if (out_.server.empty()) return Error("the cluster has no server");
    if (!cluster.FindString("proxy-url").empty()) return Error("proxy-url is not supported");
    out_.server_name = std::string(cluster.FindString("tls-server-name"));
    const Value* const insecure = cluster.Find("insecure-skip-tls-verify");
    out_.insecure = insecure != nullptr && insecure->is_bool() && insecure->bool_value();
    return ReadData(cluster, "certificate-authority", &out_.ca_pem);
  }

  absl::Status ReadUser(const Value& user, const std::string& name) {
    for (const char* plugin : {"exec", "auth-provider"}) {
      if (user.Find(plugin) == nullptr) continue;
      return Error(absl::StrCat("users: \"", name, "\" has ", plugin, ", which is not supported"));
    }
    if (!user.FindString("username").empty()) {
      return Error(absl::StrCat("users: \"", name, "\" has a username: use a token"));
    }
    for (const auto& [key, to] : {std::make_pair("client-certificate", &out_.certificate_pem),
                                  std::make_pair("client-key", &out_.key_pem)}) {
      if (const absl::Status read = ReadData(user, key, to); !read.ok()) return read;
    }
    if (out_.certificate_pem.empty() != out_.key_pem.empty()) {
      return Error(absl::StrCat("users: \"", name, "\": a client-certificate needs a client-key"));
    }
    out_.token = std::string(user.FindString("token"));
    const absl::string_view file = user.FindString("tokenFile");
    if (out_.token.empty() && !file.empty()) out_.token_file = Resolved(file);
    return absl::OkStatus();
  }

  const std::string& path_;
  const Value& config_;
  ClusterAccess out_;
};

}  // namespace

absl::StatusOr<ClusterAccess> ReadKubeconfig(const std::string& path, absl::string_view context) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const absl::StatusOr<Value> config = yaml::Parse(*text);
  if (!config.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", config.status().message()));
  }
  return Reader(path, *config).Read(context);
}

absl::StatusOr<ClusterAccess> InCluster(absl::string_view host, absl::string_view port,
                                        const std::string& folder) {
  if (host.empty() || port.empty()) {
    return absl::FailedPreconditionError(
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  }
  ClusterAccess out;
  const bool v6 = absl::StrContains(host, ":");
  out.server = absl::StrCat("https://", v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
  out.token_file = folder + "/token";
  const absl::StatusOr<std::string> token = ReadFile(out.token_file);
  if (!token.ok()) return token.status();
  const absl::StatusOr<std::string> ca = ReadFile(folder + "/ca.crt");
  if (!ca.ok()) return ca.status();
  out.ca_pem = *ca;
  const absl::StatusOr<std::string> ns = ReadFile(folder + "/namespace");
  if (ns.ok()) out.ns = std::string(absl::StripAsciiWhitespace(*ns));
  return out;
}

}  // namespace meltemi::kube
