// Where the built programs and the manifests are: in MELTEMI_BIN for the demo, in the runfiles for
// tests.
#pragma once

#include <string>

#include "test/machine/mesh.h"

namespace meltemi::scenarios {

machine::Programs BuiltPrograms();
// A peer by its name in test/interop/peers/fetch.sh (fetched at the first call): its path; or ""
// and why.
std::string FetchPeer(const std::string& name, std::string* why_not);
// The path of a file of the workspace that is among this target's data.
std::string WorkspaceFile(const std::string& path);
// The folder of the user's own tutorial beside the checkout; "" when it is not there.
std::string UserTutorialFolder();
// A fresh folder below the test's or the machine's temporary one.
std::string FreshFolder(const std::string& name);

}  // namespace meltemi::scenarios
