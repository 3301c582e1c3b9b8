// Names of images: "nginx:1.10" and what it is short for. Source: the distribution project's
// grammar of references.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

struct ImageName {
  std::string repository;  // "docker.io/library/nginx"
  std::string tag;         // "latest" where none was given
  std::string full() const { return repository + ":" + tag; }
};

// Error: which part is wrong and what it may be made of. Digests ("@sha256:…") are refused: what is
// built has its own.
absl::StatusOr<ImageName> ParseImageName(absl::string_view text);

}  // namespace meltemi::cli
