// What the machine is: what a node registers with, and how much of it is free.
//
// Threads: functions without state; they read small files.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace meltemi::kubelet {

struct FileSystemSpace {
  int64_t capacity_bytes = 0, available_bytes = 0;  // available to all but root
  int64_t inodes = 0, inodes_free = 0;
};
// Zeros: it can't be read.
FileSystemSpace ReadFileSystem(const std::string& path);

struct Machine {
  int cpus = 0;
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  std::map<int64_t, int64_t> hugepages;  // bytes of one → how many
  std::string machine_id, system_uuid, boot_id;
  std::string kernel_version, os_image;
  std::string architecture;  // "amd64"
  int64_t boot_time_s = 0;   // Unix time
};
// `root`: before /proc, /sys and /etc. What can't be read is empty.
Machine ReadMachine(const std::string& root);

// The first `bytes_max` bytes; "" when there is no such file.
std::string ReadMachineFile(const std::string& path, size_t bytes_max = 1 << 20);

}  // namespace meltemi::kubelet
