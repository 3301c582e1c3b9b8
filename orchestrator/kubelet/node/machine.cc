#include "orchestrator/kubelet/node/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::kubelet {
namespace {

std::string FirstLine(const std::string& path) {
  const std::string text = ReadMachineFile(path, 4096);
  return std::string(absl::StripAsciiWhitespace(text.substr(0, text.find('\n'))));
}

// "MemTotal:  16384000 kB" of /proc/meminfo, in bytes.
int64_t MemoryLine(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, name)) continue;
    (void)absl::ConsumeSuffix(&line, "kB");
    int64_t kib = 0;
    return absl::SimpleAtoi(line, &kib) ? kib * 1024 : 0;
  }
  return 0;
}

int CountCpus(const std::string& root) {
  int cpus = 0;
  const std::string text = ReadMachineFile(absl::StrCat(root, "/proc/cpuinfo"), 4 << 20);
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    cpus += line.substr(0, 9) == "processor" ? 1 : 0;
  }
  return cpus > 0 ? cpus : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

std::map<int64_t, int64_t> ReadHugepages(const std::string& root) {
  std::map<int64_t, int64_t> out;
  const std::string folder = absl::StrCat(root, "/sys/kernel/mm/hugepages");
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = readdir(dir)) {
    absl::string_view name = entry->d_name;
    int64_t kib = 0, pages = 0;
    if (!absl::ConsumePrefix(&name, "hugepages-") || !absl::ConsumeSuffix(&name, "kB") ||
        !absl::SimpleAtoi(name, &kib)) {
      continue;
    }
    const std::string count =
        FirstLine(absl::StrCat(folder, "/", absl::string_view(entry->d_name), "/nr_hugepages"));
    if (absl::SimpleAtoi(count, &pages)) out[kib * 1024] = pages;
  }
  closedir(dir);
  return out;
}

std::string OsImage(const std::string& root) {
  for (const char* path : {"/etc/os-release", "/usr/lib/os-release"}) {
    for (absl::string_view line : absl::StrSplit(ReadMachineFile(absl::StrCat(root, path)), '\n')) {
      if (!absl::ConsumePrefix(&line, "PRETTY_NAME=")) continue;
      (void)absl::ConsumePrefix(&line, "\"");
      (void)absl::ConsumeSuffix(&line, "\"");
      return std::string(line);
    }
  }
  return "Linux";
}

std::string Architecture(absl::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  if (machine == "ppc64le" || machine == "s390x" || machine == "riscv64") {
    return std::string(machine);
  }
  return machine.substr(0, 3) == "arm" ? "arm" : std::string(machine);
}

int64_t BootTime(const std::string& root) {
  const std::string text = ReadMachineFile(absl::StrCat(root, "/proc/stat"), 4 << 20);
  int64_t time_s = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::ConsumePrefix(&line, "btime ")) (void)absl::SimpleAtoi(line, &time_s);
  }
  return time_s;
}

}  // namespace

std::string ReadMachineFile(const std::string& path, size_t bytes_max) {
  std::string out;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  while (out.size() < bytes_max) {
    char piece[8192];
    const ssize_t got = read(fd, piece, std::min(sizeof piece, bytes_max - out.size()));
    if (got <= 0) break;
    out.append(piece, static_cast<size_t>(got));
  }
  close(fd);
  return out;
}

FileSystemSpace ReadFileSystem(const std::string& path) {
  FileSystemSpace out;
  struct statvfs fs;
  if (path.empty() || statvfs(path.c_str(), &fs) != 0) return out;
  out.capacity_bytes = static_cast<int64_t>(fs.f_blocks * fs.f_frsize);
  out.available_bytes = static_cast<int64_t>(fs.f_bavail * fs.f_frsize);
  out.inodes = static_cast<int64_t>(fs.f_files);
  out.inodes_free = static_cast<int64_t>(fs.f_ffree);
  return out;
}

Machine ReadMachine(const std::string& root) {
  Machine out;
  out.cpus = CountCpus(root);
  const std::string memory = ReadMachineFile(absl::StrCat(root, "/proc/meminfo"));
  out.memory_bytes = MemoryLine(memory, "MemTotal:");
  out.memory_available_bytes = MemoryLine(memory, "MemAvailable:");
  out.hugepages = ReadHugepages(root);
  out.machine_id = FirstLine(absl::StrCat(root, "/etc/machine-id"));
  if (out.machine_id.empty()) {
    out.machine_id = FirstLine(absl::StrCat(root, "/var/lib/dbus/machine-id"));
  }
  out.system_uuid = FirstLine(absl::StrCat(root, "/sys/class/dmi/id/product_uuid"));
  if (out.system_uuid.empty()) out.system_uuid = out.machine_id;
  out.boot_id = FirstLine(absl::StrCat(root, "/proc/sys/kernel/random/boot_id"));
  utsname names{};
  if (uname(&names) == 0) {
    out.kernel_version = names.release;
    out.architecture = Architecture(names.machine);
  }
  out.os_image = OsImage(root);
  out.boot_time_s = BootTime(root);
  return out;
}

}  // namespace meltemi::kubelet
