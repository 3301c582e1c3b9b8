// An image as one file that containerd (`ctr images import`), Docker (`docker load`), podman and
// skopeo take: an OCI image layout with Docker's manifest beside it. Same input, same bytes.
//
// Source: the OCI image specification 1.0 (image-layout, manifest, config), Docker's image
// specification 1.2 (manifest.json).
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/images/root_fs.h"

namespace meltemi::cli {

// What a container of the image is started with.
struct ImageSettings {
  std::vector<std::string> tags;             // one at least
  std::vector<std::string> entrypoint, cmd;  // words
  std::vector<std::string> env;              // "NAME=VALUE"; PATH is added when it is missing
  std::string workdir, user, stop_signal;
  std::vector<std::string> ports;  // "80", "53/udp"
  bool gzip = false;
};

struct WrittenImage {
  std::vector<std::string> names;  // in full: "docker.io/library/nginx:1.10"
  std::string digest;              // of the manifest: "sha256:…"
  uint64_t size_bytes = 0;         // of the file
};

// Error: which setting is wrong; nothing is written then.
absl::Status CheckImageSettings(const ImageSettings& settings);

// One layer, `root`. `path` is replaced at the end, all or nothing.
absl::StatusOr<WrittenImage> WriteImageArchive(const ImageSettings& settings, const RootFs& root,
                                               const std::string& path);

// What an archive says that it holds, its own or another tool's in OCI's layout. Error: it is none.
absl::StatusOr<WrittenImage> ReadImageArchive(const std::string& path);

// The image of pods' sandboxes, from the program that //cli/images/pause builds.
inline constexpr char kPauseImage[] = "meltemi.dev/pause:1";
absl::Status WritePauseImage(const std::string& program, const std::string& path);

}  // namespace meltemi::cli
