#include "cli/install/manifests.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/yaml/parse.h"
#include "pilot/crds/crds.h"

namespace meltemi::cli {
namespace {

struct Named {
  std::string api_version, kind, ns, name;
};

std::vector<Named> ObjectsOf(const std::string& manifests) {
  std::vector<Named> objects;
  const absl::StatusOr<std::vector<json::Value>> documents = yaml::ParseAll(manifests);
  if (!documents.ok()) return objects;  // a test decodes every document
  for (const json::Value& document : *documents) {
    const json::Value* const metadata = document.Find("metadata");
    if (metadata == nullptr) continue;
    objects.push_back({std::string(document.FindString("apiVersion")),
                       std::string(document.FindString("kind")),
                       std::string(metadata->FindString("namespace")),
                       std::string(metadata->FindString("name"))});
  }
  return objects;
}

// What goes first: whoever is asked about others' objects, then what runs, then the rest.
int Turn(const Named& object) {
  if (absl::EndsWith(object.kind, "WebhookConfiguration")) return 0;
  if (object.kind == "Deployment") return 1;
  if (object.kind == "CustomResourceDefinition") return 3;
  return 2;
}

}  // namespace

std::vector<std::string> InstallParts() {
  return {"crds", "control-plane", "webhooks", "gateways"};
}

std::string InstallPart(absl::string_view name, const InstallSettings& settings) {
  if (name == "crds") return pilot::CrdManifests();
  if (name == "control-plane") return ControlPlaneManifests(settings);
  if (name == "webhooks") return WebhookManifests();
  return name == "gateways" ? GatewayManifests(settings) : "";
}

std::string InstallManifests(const InstallSettings& settings) {
  return absl::StrCat(pilot::CrdManifests(), ControlPlaneManifests(settings), WebhookManifests(),
                      settings.ingress_gateway ? GatewayManifests(settings) : "");
}

std::string UninstallManifests(bool with_crds) {
  InstallSettings everything;
  everything.ingress_gateway = true;
  std::vector<Named> objects = ObjectsOf(InstallManifests(everything));
  std::stable_sort(objects.begin(), objects.end(),
                   [](const Named& a, const Named& b) { return Turn(a) < Turn(b); });
  std::string out;
  for (const Named& object : objects) {
    // The namespace holds the authority's key: whoever installs again goes on with it.
    if (object.kind == "Namespace" || (object.kind == "CustomResourceDefinition" && !with_crds)) {
      continue;
    }
    absl::StrAppend(&out, "---\napiVersion: ", object.api_version, "\nkind: ", object.kind,
                    "\nmetadata:\n  name: ", object.name, "\n",
                    object.ns.empty() ? "" : absl::StrCat("  namespace: ", object.ns, "\n"));
  }
  return out;
}

}  // namespace meltemi::cli
