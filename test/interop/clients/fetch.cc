#include "test/interop/clients/fetch.h"

#include <sys/wait.h>

#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::interop {

std::string Fetch(const std::string& name, std::string* why_not, const std::string& script) {
  const std::string command = absl::StrCat(script, " ", name, " 2>&1");
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    *why_not = "fetch.sh cannot be started";
    return "";
  }
  std::string output;
  char chunk[4096];
  size_t size;
  while ((size = fread(chunk, 1, sizeof(chunk), pipe)) > 0) output.append(chunk, size);
  const int status = pclose(pipe);
  output = std::string(absl::StripAsciiWhitespace(output));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 3) ADD_FAILURE() << output;
  *why_not = output;
  return "";
}

}  // namespace meltemi::interop
