// Replays a fuzz target's corpus as a normal test: every file as it stands, then seeded mutations
// of it. Each file is one test case in the JUnit report. The target crashes (or a sanitizer does)
// when it finds a bug, and the last line that was printed names the input.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMutationsPerFile = 200;

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

// One small change: flip, overwrite, insert, repeat, erase or truncate.
void Mutate(std::mt19937& random, std::string& input) {
  if (input.empty()) {
    input.push_back(static_cast<char>(random()));
    return;
  }
  const size_t at = random() % input.size();
  const size_t length = 1 + random() % 8;
  switch (random() % 6) {
    case 0:
      input[at] = static_cast<char>(input[at] ^ (1 << (random() % 8)));
      break;
    case 1:
      input[at] = static_cast<char>(random());
      break;
    case 2:
      input.insert(at, 1, static_cast<char>(random()));
      break;
    case 3:
      input.insert(at, input.substr(at, length));
      break;
    case 4:
      input.erase(at, length);
      break;
    default:
      input.resize(at);
  }
}

void Replay(const std::string& name, const std::string& contents) {
  printf("[ RUN      ] %s (%zu bytes)\n", name.c_str(), contents.size());
  fflush(stdout);
  Run(contents);
  std::mt19937 random(static_cast<uint32_t>(contents.size()));
  std::string input = contents;
  for (int i = 0; i < kMutationsPerFile; ++i) {
    // Half of the walk drifts away from the file, half stays one step beside it.
    if (i % 2 == 0) input = contents;
    Mutate(random, input);
    Run(input);
  }
  printf("[       OK ] %s\n", name.c_str());
}

void WriteReport(const char* path, const std::vector<std::string>& names) {
  std::ofstream out(path);
  out << "<testsuites><testsuite name=\"corpus\" tests=\"" << names.size() << "\">\n";
  for (const std::string& name : names) {
    out << "<testcase name=\"" << name << "\" status=\"run\" classname=\"corpus\"/>\n";
  }
  out << "</testsuite></testsuites>\n";
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> replayed = {"empty"};
  Replay("empty", "");
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      fprintf(stderr, "cannot read the corpus file %s\n", argv[i]);
      return 1;
    }
    Replay(argv[i], std::string(std::istreambuf_iterator<char>(file), {}));
    replayed.push_back(argv[i]);
  }
  if (const char* path = getenv("XML_OUTPUT_FILE")) WriteReport(path, replayed);
  return 0;
}
