// Names of images: "nginx", "localhost:5000/team/app:v1", "ghcr.io/x/y@sha256:…", and what they are
// short for.
//
// Threads: plain values and pure functions. Source: the reference grammar of the OCI distribution
// specification, with Docker's defaults (docker.io, library/, latest).
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kubelet {

struct ImageName {
  std::string domain = "docker.io";  // with its port
  std::string path;                  // "library/nginx"
  std::string tag;                   // "": none is named
  std::string digest;                // "sha256:…"; "": none is named

  std::string repository() const { return domain + "/" + path; }
  // With ":latest" when there is neither tag nor digest.
  std::string full() const;
};

// Nothing: it is no image's name; `error` says why in the reference parser's words.
std::optional<ImageName> ParseImageName(absl::string_view text, std::string* error = nullptr);

}  // namespace meltemi::kubelet
