// Headers of tar files: POSIX ustar, with pax records for what does not fit into it. The same entry
// always gives the same bytes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::cli {

inline constexpr size_t kTarBlockBytes = 512;

struct TarEntry {
  std::string name;  // without a leading slash; a folder's ends in one
  char type = '0';   // '0' file, '1' hard link, '2' symbolic link, '5' folder
  uint32_t mode = 0644;
  uint32_t uid = 0, gid = 0;
  int64_t mtime_s = 0;
  uint64_t size_bytes = 0;  // of files only
  std::string link;         // what a link points to
};

// One block, or more when pax records come first.
std::string TarHeader(const TarEntry& entry);
// The zeros after so many bytes of content.
std::string TarPadding(uint64_t size_bytes);
// The end of a tar file.
std::string TarEnd();

// The next entry of a tar file whose header starts at `block` (kTarBlockBytes); false: it is none,
// or the end. Only what archives of images have: names that fit, no pax records.
bool ReadTarHeader(absl::string_view block, TarEntry* entry);

}  // namespace meltemi::cli
