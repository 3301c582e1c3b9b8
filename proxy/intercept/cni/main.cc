// meltemi-cni: see README.md.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "proxy/intercept/cni/plugin.h"
#include "proxy/intercept/intercept.h"

namespace meltemi::proxy {
namespace {

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// This process stays in the namespace: it does nothing else.
absl::StatusOr<std::string> InterceptInNamespace(const std::string& netns,
                                                 const InterceptCommand& command) {
  const int fd = open(netns.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(absl::StrCat(netns, ": ", std::strerror(errno)));
  }
  const int entered = setns(fd, CLONE_NEWNET);
  const int error = errno;
  close(fd);
  if (entered != 0) {
    return absl::PermissionDeniedError(absl::StrCat("setns ", netns, ": ", std::strerror(error)));
  }
  return RunIntercept(command);
}

int Main() {
  CniRequest request;
  request.command = Environment("CNI_COMMAND");
  request.container_id = Environment("CNI_CONTAINERID");
  request.netns = Environment("CNI_NETNS");
  request.interface_name = Environment("CNI_IFNAME");
  if (request.command.empty()) {
    std::fputs("meltemi-cni is a CNI plugin: a container runtime calls it\n", stderr);
  } else {
    request.config.assign(std::istreambuf_iterator<char>(std::cin), {});
  }
  const CniAnswer answer = RunCni(request, InterceptInNamespace);
  std::fputs(answer.out.c_str(), stdout);
  return answer.exit_code;
}

}  // namespace
}  // namespace meltemi::proxy

int main() { return meltemi::proxy::Main(); }
