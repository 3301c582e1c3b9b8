// Everything that a Kubernetes cluster needs for the mesh, as YAML documents.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/install/settings.h"

namespace meltemi::cli {

// In an order in which each document finds what it refers to: CRDs, namespace, accounts and roles,
// settings, control plane, webhooks, gateway.
std::string InstallManifests(const InstallSettings& settings);

// One part of it alone, by its name in InstallParts(), whether the settings ask for it or not.
std::string InstallPart(absl::string_view name, const InstallSettings& settings);
std::vector<std::string> InstallParts();

// The same objects for `kubectl delete`, webhooks first, so that nothing that goes is still asked.
// The CRDs stay unless `with_crds`: with them all objects of their kinds would go.
std::string UninstallManifests(bool with_crds);

// --- The parts, each beginning with "---".
std::string ControlPlaneManifests(const InstallSettings& settings);
std::string WebhookManifests();
std::string GatewayManifests(const InstallSettings& settings);
// The text of the key inject.yaml: what pilot/inject/settings.h reads.
std::string InjectSettingsText(const InstallSettings& settings);

}  // namespace meltemi::cli
