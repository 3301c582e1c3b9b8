#include "test/interop/api/fetch.h"

#include <sys/wait.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::interop {

Fetched Fetch(const std::string& what) {
  const std::string command = absl::StrCat("test/interop/api/fetch.sh ", what, " 2>&1");
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {.reason = "fetch.sh cannot be started"};
  std::string output;
  char chunk[4096];
  size_t size;
  while ((size = fread(chunk, 1, sizeof(chunk), pipe)) > 0) output.append(chunk, size);
  const int status = pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return {.reason = output};
  return {.folders = absl::StrSplit(output, '\n', absl::SkipEmpty())};
}

}  // namespace meltemi::interop
