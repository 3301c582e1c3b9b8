// `meltemi images build`: from a folder, programs and Debian packages to an image archive.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/images/archive.h"
#include "cli/images/root_fs.h"

namespace meltemi::cli {

struct BuildRequest {
  // Become the root file system, without their image.yaml; what a later one has replaces what an
  // earlier one has.
  std::vector<std::string> folders;
  std::vector<std::string> programs, packages;
  std::vector<std::string> without;  // packages that `packages` depend on but can do without
  std::vector<std::string> links;    // "PATH=TARGET"
  bool ca_certificates = false;      // this machine's list of authorities
  ImageSettings settings;
  std::string output;  // empty: NAME_TAG.tar in the current folder
};

inline constexpr char kImageFile[] = "image.yaml";

// Adds what the text of an image.yaml says where `request` says nothing yet. Keys: tags,
// entrypoint, cmd, env, workdir, user, stopSignal, ports, programs, packages, caCertificates, gzip.
// Error: the line and what is wrong there.
absl::Status ReadImageFile(absl::string_view text, BuildRequest* request);

// Programs and packages come with what they expect to find: /tmp, accounts, name service switch.
absl::StatusOr<RootFs> MakeRootFs(const BuildRequest& request);

// Reads the folders' image.yaml, the last one's first, and writes the archive to request.output.
absl::StatusOr<WrittenImage> BuildImage(BuildRequest request, std::string* written_to);

}  // namespace meltemi::cli
