#include "test/nodes/isolation.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace meltemi::nodes {
namespace {

constexpr char kInside[] = "MELTEMI_TEST_ISOLATED";
// A machine with one network card, behind which there is nobody.
constexpr char kNetwork[] =
    "PATH=$PATH:/usr/sbin:/sbin; set -e; ip link set lo up; ip link add eth0 type veth peer name "
    "nobody; ip link set nobody up; ip addr add 198.51.100.10/24 dev eth0; ip link set eth0 up; "
    "ip route add default via 198.51.100.1 dev eth0";

// Executes this program again inside of the namespaces; returns where they can't be had.
void EnterNamespaces(char** argv) {
  std::vector<char*> words;
  for (const char* word : {"unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork",
                           "--kill-child", "/proc/self/exe"}) {
    words.push_back(const_cast<char*>(word));
  }
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0) return;
  words.back() = self;
  for (char** word = argv + 1; *word != nullptr; ++word) words.push_back(*word);
  words.push_back(nullptr);
  setenv(kInside, "1", 1);
  execvp(words[0], words.data());
  unsetenv(kInside);
}

}  // namespace

bool Isolate(char** argv) {
  if (geteuid() != 0) return true;
  if (std::getenv(kInside) == nullptr) EnterNamespaces(argv);
  if (std::system(kNetwork) == 0) return true;
  std::fprintf(stderr, "a network of its own cannot be set up\n");
  return false;
}

}  // namespace meltemi::nodes
