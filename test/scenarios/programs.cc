#include "test/scenarios/programs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <climits>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::scenarios {
namespace {

std::string EnvOr(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

// The runfiles of a test; for the demo, the current folder (the checkout).
std::string Root() {
  const std::string runfiles = EnvOr("TEST_SRCDIR", "");
  return runfiles.empty() ? "." : absl::StrCat(runfiles, "/", EnvOr("TEST_WORKSPACE", "meltemi"));
}

std::string RealPath(const std::string& path) {
  char real[PATH_MAX];
  return realpath(path.c_str(), real) == nullptr ? path : real;
}

}  // namespace

machine::Programs BuiltPrograms() {
  const std::string bin = EnvOr("MELTEMI_BIN", Root());
  const auto at = [&bin](const char* path) { return RealPath(absl::StrCat(bin, "/", path)); };
  return {.proxy = at("proxy/app/meltemi-proxy"),
          .pilot = at("pilot/app/meltemi-pilot"),
          .cli = at("cli/meltemi"),
          .flaskapp = at("test/apps/flaskapp")};
}

std::string FetchPeer(const std::string& name, std::string* why_not) {
  const machine::Finished fetched = machine::RunToEnd(
      {.argv = {WorkspaceFile("test/interop/peers/fetch.sh"), name}}, std::chrono::minutes(10));
  const std::string said(absl::StripTrailingAsciiWhitespace(fetched.output));
  if (fetched.exit_status == 0) return said.substr(said.rfind('\n') + 1);
  *why_not = said;
  return "";
}

std::string WorkspaceFile(const std::string& path) {
  return RealPath(absl::StrCat(Root(), "/", path));
}

std::string UserTutorialFolder() {
  // A file of the sources leads to the checkout, also from the runfiles' links.
  const std::string known = "examples/tutorial/README.md";
  std::string checkout = WorkspaceFile(known);
  if (!absl::EndsWith(checkout, known)) return "";
  checkout.resize(checkout.size() - known.size());
  const std::string folder = absl::StrCat(checkout, "../shared/tutorial");
  return access(folder.c_str(), R_OK) == 0 ? RealPath(folder) : "";
}

std::string FreshFolder(const std::string& name) {
  std::string path =
      absl::StrCat(EnvOr("TEST_TMPDIR", EnvOr("TMPDIR", "/tmp")), "/", name, "-XXXXXX");
  if (mkdtemp(path.data()) == nullptr) return "";
  chmod(path.c_str(), 0755);  // sidecars run as another user
  return path;
}

}  // namespace meltemi::scenarios
