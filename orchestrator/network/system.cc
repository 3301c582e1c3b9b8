#include "orchestrator/network/system.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/process/run_process.h"

namespace meltemi::network {
namespace {

class RealSystem final : public System {
 public:
  absl::StatusOr<std::string> Run(const std::vector<std::string>& argv,
                                  const std::string& input) override {
    absl::StatusOr<ProcessResult> result = RunProcess(argv, input);
    if (!result.ok()) return result.status();
    if (result->exit_code != 0) {
      return absl::InternalError(absl::StrCat(absl::StrJoin(argv, " "), ": ",
                                              absl::StripAsciiWhitespace(result->err), " (exit ",
                                              result->exit_code, ")"));
    }
    return std::move(result->out);
  }

  absl::Status SetSysctl(const std::string& name, const std::string& value) override {
    const std::string path = absl::StrCat("/proc/sys/", name);
    std::string now;
    {
      std::ifstream in(path);
      if (!in) return absl::NotFoundError(absl::StrCat(path, ": the kernel does not have it"));
      in >> now;
    }
    // It may be read-only for us and right already.
    if (now == value) return absl::OkStatus();
    std::ofstream out(path);
    out << value << std::flush;
    if (out) return absl::OkStatus();
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": cannot be set to ", value, ": ", std::strerror(errno)));
  }

  int DefaultMtu() override {
    std::ifstream in("/proc/self/net/route");
    std::string line;
    while (std::getline(in, line)) {
      const std::vector<std::string> columns = absl::StrSplit(line, '\t');
      if (columns.size() < 8 || columns[1] != "00000000" || columns[7] != "00000000") continue;
      return MtuOf(columns[0]);
    }
    return 0;
  }

 private:
  static int MtuOf(const std::string& interface) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    interface.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
    const bool known = fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0;
    if (fd >= 0) close(fd);
    return known ? request.ifr_mtu : 0;
  }
};

}  // namespace

std::unique_ptr<System> NewSystem() { return std::make_unique<RealSystem>(); }

}  // namespace meltemi::network
