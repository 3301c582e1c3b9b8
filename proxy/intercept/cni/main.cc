// meltemi-cni: see README.md.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "proxy/intercept/cni/plugin.h"
#include "proxy/intercept/intercept.h"

namespace meltemi::proxy {
namespace {

// The value of "NAME=VALUE" in what main was given; "" when there is none.
std::string Variable(char** environment, absl::string_view name) {
  for (char** at = environment; *at != nullptr; ++at) {
    absl::string_view entry(*at);
    if (absl::ConsumePrefix(&entry, name) && absl::ConsumePrefix(&entry, "=")) {
      return std::string(entry);
    }
  }
  return "";
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

int Main(char** environment) {
  CniRequest request;
  request.command = Variable(environment, "CNI_COMMAND");
  request.container_id = Variable(environment, "CNI_CONTAINERID");
  request.netns = Variable(environment, "CNI_NETNS");
  request.interface_name = Variable(environment, "CNI_IFNAME");
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

// CNI speaks through the environment.
int main(int, char**, char** environment) { return meltemi::proxy::Main(environment); }
