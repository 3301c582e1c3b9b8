// install, uninstall, inject: manifests to standard output.
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/install/manifests.h"
#include "cli/install/settings.h"
#include "cli/verbs.h"
#include "pilot/inject/manifest.h"
#include "pilot/inject/settings.h"

namespace meltemi::cli {
namespace {

using Run = std::function<int(const std::vector<std::string>&)>;

int WrongCall(const char* verb, absl::string_view what) {
  PrintError(absl::StrCat(verb, ": ", what, "; see meltemi help ", verb));
  return 2;
}

void Print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

bool ReadAll(const std::string& path, std::string* text) {
  std::ostringstream buffer;
  if (path == "-") {
    buffer << std::cin.rdbuf();
  } else {
    std::ifstream in(path, std::ios::binary);
    if (!in) return false;
    buffer << in.rdbuf();
  }
  *text = buffer.str();
  return true;
}

struct InstallOptions {
  std::vector<std::string> sets;
  std::string only;
};

int Install(const InstallOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) return WrongCall("install", absl::StrCat("unexpected '", rest[0], "'"));
  const absl::StatusOr<InstallSettings> settings = ParseInstallSettings(options.sets);
  if (!settings.ok()) return WrongCall("install", settings.status().message());
  Print(options.only.empty() ? InstallManifests(*settings) : InstallPart(options.only, *settings));
  return 0;
}

struct InjectOptions {
  std::vector<std::string> files, sets;
  std::string ns = "default", settings_file;
  bool native = true;
};

absl::StatusOr<pilot::InjectSettings> SettingsFor(const InjectOptions& options) {
  if (!options.settings_file.empty()) {
    std::string text;
    if (!ReadAll(options.settings_file, &text)) {
      return absl::NotFoundError(absl::StrCat(options.settings_file, " cannot be read"));
    }
    return pilot::ParseInjectSettings(text);
  }
  const absl::StatusOr<InstallSettings> settings = ParseInstallSettings(options.sets);
  if (!settings.ok()) return settings.status();
  return pilot::ParseInjectSettings(InjectSettingsText(*settings));
}

int Inject(const InjectOptions& options, const std::vector<std::string>& rest) {
  std::vector<std::string> files = options.files;
  files.insert(files.end(), rest.begin(), rest.end());
  if (files.empty()) return WrongCall("inject", "name a file with -f, or - for standard input");
  absl::StatusOr<pilot::InjectSettings> settings = SettingsFor(options);
  if (!settings.ok()) return WrongCall("inject", settings.status().message());
  if (!options.native) settings->native_sidecars = pilot::NativeSidecars::kNever;
  std::string all;
  for (const std::string& file : files) {
    std::string text;
    if (!ReadAll(file, &text)) {
      PrintError(absl::StrCat("inject: ", file, " cannot be read"));
      return 2;
    }
    const absl::StatusOr<pilot::InjectedManifests> injected =
        pilot::InjectManifests(text, options.ns, *settings);
    if (!injected.ok()) {
      PrintError(absl::StrCat("inject: ", file, ": ", injected.status().message()));
      return 1;
    }
    for (const std::string& message : injected->messages) PrintError(message);
    const bool parted = all.empty() || injected->text.substr(0, 3) == "---";
    absl::StrAppend(&all, parted ? "" : "---\n", injected->text);
  }
  Print(all);
  return 0;
}

}  // namespace

Verb InstallVerb() {
  static const auto* const details = new std::string(absl::StrCat(
      "meltemi install | kubectl apply -f -\n\n"
      "Prints CRDs, roles, the control plane, its webhooks and, if wanted, an ingress gateway.\n"
      "Then label namespaces: kubectl label namespace default istio-injection=enabled\n\n"
      "A gateway for a cluster that has the mesh already, such as that of `meltemi up`:\n"
      "meltemi install --only=gateways | kubectl apply -f -\n\n"
      "Settings (--set KEY=VALUE):\n",
      InstallSettingsHelp()));
  return {"install", "", "prints what any Kubernetes cluster needs for the mesh", details->c_str(),
          [](Flags& flags) -> Run {
            auto options = std::make_shared<InstallOptions>();
            flags.Repeated("set", {}, &options->sets, "KEY=VALUE", "a setting; may be repeated");
            flags.Choice("only", {}, &options->only, InstallParts(), "one part alone");
            return
                [options](const std::vector<std::string>& rest) { return Install(*options, rest); };
          }};
}

Verb UninstallVerb() {
  return {"uninstall", "", "prints what takes the mesh's control plane away",
          "meltemi uninstall | kubectl delete --ignore-not-found -f -\n\n"
          "Webhooks go first, so that pods can start at any moment. Sidecars that run keep their\n"
          "configuration, and their certificates as long as those last (a day): restart the\n"
          "workloads, without the namespaces' label istio-injection, to take the sidecars away.\n"
          "The namespace istio-system and, without --crds, the kinds with all their objects stay.",
          [](Flags& flags) -> Run {
            auto crds = std::make_shared<bool>(false);
            flags.Switch("crds", {}, crds.get(),
                         "also the CRDs: all VirtualServices and so on go with them");
            return [crds](const std::vector<std::string>& rest) {
              if (!rest.empty()) {
                return WrongCall("uninstall", absl::StrCat("unexpected '", rest[0], "'"));
              }
              Print(UninstallManifests(*crds));
              return 0;
            };
          }};
}

Verb InjectVerb() {
  return {
      "inject", "-f FILE", "puts the sidecar into manifests, without a cluster",
      "Pods and everything that has a pod template get what the webhook would give them; other\n"
      "documents come out as they are.\n\n"
      "meltemi inject -f deployment.yaml | kubectl apply -f -",
      [](Flags& flags) -> Run {
        auto options = std::make_shared<InjectOptions>();
        flags.Repeated("filename", {"f"}, &options->files, "FILE", "manifests; -: standard input");
        flags.Text("namespace", {"n"}, &options->ns, "NAME", "of objects that name none");
        flags.Repeated("set", {}, &options->sets, "KEY=VALUE", "as for `meltemi install`");
        flags.Text("inject-config", {}, &options->settings_file, "FILE",
                   "injection settings instead (the ConfigMap's inject.yaml)");
        flags.Switch("native-sidecars", {}, &options->native,
                     "false for clusters before Kubernetes 1.29");
        return [options](const std::vector<std::string>& rest) { return Inject(*options, rest); };
      }};
}

}  // namespace meltemi::cli
