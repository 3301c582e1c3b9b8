#include "cli/cluster/mesh.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/json/value.h"
#include "base/tls/certificate.h"
#include "base/yaml/parse.h"
#include "cli/cluster/bring_up.h"
#include "cli/cluster/control_plane.h"
#include "cli/cluster/machine.h"
#include "cli/install/manifests.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;
using json::Value;

constexpr char kNamespace[] = "istio-system";
constexpr char kPilot[] = "meltemi-pilot";
constexpr uint16_t kDebugPort = 15014;
constexpr std::chrono::seconds kReadyMax(60), kStopGrace(15);
constexpr std::chrono::milliseconds kPoll(20);
constexpr int64_t kCertificateSeconds = 365 * 24 * 3600LL;

InstallSettings Settings() {
  InstallSettings settings;
  settings.cni = true;
  settings.access_log_file = "/dev/stdout";
  return settings;
}

absl::Status Write(const std::string& path, const std::string& text) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  std::ofstream out(path, std::ios::trunc);
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, error);
  out << text << std::flush;
  if (out) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(path, ": cannot be written"));
}

std::string InjectConfig(const ClusterFolders& folders) {
  return folders.data_dir + "/pilot/inject.yaml";
}

// pilot is to the API server who its account in the cluster is, with a certificate instead of a
// token.
absl::Status WriteKubeconfig(const MeshOptions& options) {
  const ClusterFolders& folders = options.folders;
  const absl::StatusOr<std::string> ca = ReadText(folders.pki("ca.crt"));
  const absl::StatusOr<std::string> key = ReadText(folders.pki("ca.key"));
  if (!ca.ok()) return ca.status();
  if (!key.ok()) return key.status();
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  const absl::StatusOr<tls::KeyPair> pair = tls::NewCertificate(
      {.common_name = absl::StrCat("system:serviceaccount:", kNamespace, ":", kPilot),
       .organizations = {"system:serviceaccounts",
                         absl::StrCat("system:serviceaccounts:", kNamespace)},
       .client_auth = true,
       .not_before_s = now - 60,
       .not_after_s = now + kCertificateSeconds},
      {.certificate_chain_pem = *ca, .private_key_pem = *key});
  if (!pair.ok()) return pair.status();
  return Write(
      folders.kubeconfig("pilot"),
      absl::StrCat("apiVersion: v1\nkind: Config\ncurrent-context: meltemi\ncontexts:\n",
                   "- name: meltemi\n  context: {cluster: meltemi, user: pilot}\n",
                   "clusters:\n- name: meltemi\n  cluster:\n    server: ", options.server,
                   "\n    certificate-authority-data: ", absl::Base64Escape(*ca),
                   "\nusers:\n- name: pilot\n  user:\n    client-certificate-data: ",
                   absl::Base64Escape(pair->certificate_chain_pem),
                   "\n    client-key-data: ", absl::Base64Escape(pair->private_key_pem), "\n"));
}

bool IsNamed(const Value& object, absl::string_view kind, absl::string_view name) {
  const Value* metadata = object.Find("metadata");
  return object.FindString("kind") == kind && metadata != nullptr &&
         metadata->FindString("name") == name;
}

// Where the Service leads, since no pod is behind it. Null: it is another Service.
Value EndpointsOf(const Value& service, const std::string& address) {
  Value ports = Value::Array();
  if (const Value* declared = service.Find("spec", "ports")) {
    for (const Value& port : declared->items()) {
      const Value* target = port.Find("targetPort");
      Value one = Value::Object();
      one.Add("name", Value::String(std::string(port.FindString("name"))));
      one.Add("port", target != nullptr ? *target : *port.Find("port"));
      ports.Append(std::move(one));
    }
  }
  Value ip = Value::Object();
  ip.Add("ip", Value::String(address));
  Value addresses = Value::Array();
  addresses.Append(std::move(ip));
  Value subset = Value::Object();
  subset.Add("addresses", std::move(addresses));
  subset.Add("ports", std::move(ports));
  Value subsets = Value::Array();
  subsets.Append(std::move(subset));
  Value metadata = Value::Object();
  metadata.Add("name", Value::String(kPilot));
  metadata.Add("namespace", Value::String(kNamespace));
  Value endpoints = Value::Object();
  endpoints.Add("apiVersion", Value::String("v1"));
  endpoints.Add("kind", Value::String("Endpoints"));
  endpoints.Add("metadata", std::move(metadata));
  endpoints.Add("subsets", std::move(subsets));
  return endpoints;
}

// The manifests of `install` without what would run pilot in a pod.
absl::StatusOr<std::vector<Value>> Objects(const std::string& address) {
  absl::StatusOr<std::vector<Value>> documents = yaml::ParseAll(InstallManifests(Settings()));
  if (!documents.ok()) return documents.status();
  std::vector<Value> out;
  for (Value& object : *documents) {
    const absl::string_view kind = object.FindString("kind");
    if (kind == "Deployment" || kind == "PodDisruptionBudget") continue;
    if (IsNamed(object, "Service", kPilot)) {
      object.MutableObject("spec").Remove("selector");
      out.push_back(EndpointsOf(object, address));
    }
    out.push_back(std::move(object));
  }
  return out;
}

bool Listens(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected = connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
  close(fd);
  return connected;
}

}  // namespace

Component PilotProcess(const ClusterFolders& folders) {
  return Component::Other(folders.processes(), "pilot", InjectConfig(folders));
}

absl::Status ApplyMesh(const MeshOptions& options, ClusterApi& api) {
  const absl::StatusOr<std::vector<Value>> objects = Objects(options.address);
  if (!objects.ok()) return objects.status();
  return api.Apply(*objects);
}

absl::Status StartPilot(const MeshOptions& options, int* started) {
  Component pilot = PilotProcess(options.folders);
  // Who was told of an API server at another port would look for it there.
  const absl::StatusOr<std::string> told = ReadText(options.folders.kubeconfig("pilot"));
  if (told.ok() && !absl::StrContains(*told, absl::StrCat("server: ", options.server, "\n"))) {
    pilot.Stop(kStopGrace);
  }
  if (pilot.Running() != 0) return absl::OkStatus();
  const absl::StatusOr<std::string> program =
      ProgramBeside({"meltemi-pilot", "../pilot/app/meltemi-pilot"});
  if (!program.ok()) {
    return absl::NotFoundError(absl::StrCat(program.status().message(),
                                            "; build it with ./meltemi build //pilot/app:all"));
  }
  if (absl::Status status = WriteKubeconfig(options); !status.ok()) return status;
  if (absl::Status status = Write(InjectConfig(options.folders), InjectSettingsText(Settings()));
      !status.ok()) {
    return status;
  }
  std::vector<std::string> words = {*program,
                                    "--kubeconfig=" + options.folders.kubeconfig("pilot"),
                                    "--inject-config",
                                    InjectConfig(options.folders),
                                    "--serving-name=" + options.address,
                                    "--access-log-file=" + Settings().access_log_file,
                                    "--http-address=127.0.0.1:15014",
                                    "--pod-name=" + MachineName()};
  words.insert(words.end(), options.pilot_args.begin(), options.pilot_args.end());
  if (absl::Status status = pilot.StartProgram(std::move(words)); !status.ok()) return status;
  ++*started;
  const auto end = std::chrono::steady_clock::now() + kReadyMax;
  while (!Listens(kDebugPort)) {
    if (pilot.Running() == 0) {
      return absl::InternalError(
          absl::StrCat("pilot has ended: ", pilot.LastLine(), " (", pilot.log_path(), ")"));
    }
    if (std::chrono::steady_clock::now() > end) {
      return absl::DeadlineExceededError(
          absl::StrCat("pilot does not serve after ", kReadyMax.count(), " s: ", pilot.log_path()));
    }
    std::this_thread::sleep_for(kPoll);
  }
  return absl::OkStatus();
}

}  // namespace meltemi::cli
