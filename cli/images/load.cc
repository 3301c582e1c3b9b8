#include "cli/images/load.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/images/archive.h"
#include "cli/images/run_program.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

// What the kubelet sees is in this namespace of containerd.
std::vector<std::string> Ctr(const ImageNode& node, std::vector<std::string> words) {
  std::vector<std::string> argv = {"ctr", "--address", node.socket, "--namespace", "k8s.io"};
  argv.insert(argv.end(), words.begin(), words.end());
  return argv;
}

absl::Status OfNode(const ImageNode& node, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("node ", node.name, ": ", status.message()));
}

// Each of the archive's names stands for the archive's image.
bool HasImage(const std::map<std::string, NodeImage>& known, const WrittenImage& image) {
  return !image.names.empty() &&
         std::all_of(image.names.begin(), image.names.end(), [&](const std::string& name) {
           const auto found = known.find(name);
           return found != known.end() && found->second.digest == image.digest;
         });
}

}  // namespace

absl::StatusOr<std::vector<ImageNode>> FindImageNodes(const std::string& run_folder,
                                                      const std::vector<std::string>& wanted) {
  std::vector<ImageNode> nodes;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(run_folder, error)) {
    const std::string socket = (entry.path() / "containerd.sock").string();
    std::error_code missing;
    if (fs::exists(socket, missing)) nodes.push_back({entry.path().filename().string(), socket});
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const ImageNode& a, const ImageNode& b) { return a.name < b.name; });
  if (nodes.empty()) {
    return absl::NotFoundError(absl::StrCat("no node runs here (there is no ", run_folder,
                                            "/NAME/containerd.sock); try: meltemi up"));
  }
  if (wanted.empty()) return nodes;
  std::vector<ImageNode> chosen;
  for (const std::string& name : wanted) {
    const auto found = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const ImageNode& node) { return node.name == name; });
    if (found == nodes.end()) {
      const std::string known = absl::StrJoin(
          nodes, ", ", [](std::string* out, const ImageNode& node) { *out += node.name; });
      return absl::NotFoundError(absl::StrCat("no node ", name, " runs here; there is ", known));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

absl::StatusOr<std::map<std::string, NodeImage>> ListImages(const ImageNode& node) {
  const absl::StatusOr<std::string> text = RunProgram(Ctr(node, {"images", "list"}));
  if (!text.ok()) return OfNode(node, text.status());
  std::map<std::string, NodeImage> images;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    // REF TYPE DIGEST SIZE UNIT PLATFORMS LABELS
    const std::vector<absl::string_view> columns =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (columns.size() < 5 || columns[0] == "REF") continue;
    images[std::string(columns[0])] = {std::string(columns[2]),
                                       absl::StrCat(columns[3], " ", columns[4])};
  }
  return images;
}

absl::Status LoadImage(const std::string& archive, const std::vector<ImageNode>& nodes,
                       size_t* loaded) {
  *loaded = 0;
  const absl::StatusOr<WrittenImage> image = ReadImageArchive(archive);
  // Archives of other tools may be in Docker's layout: containerd judges.
  if (!image.ok() && image.status().code() == absl::StatusCode::kNotFound) return image.status();
  std::vector<std::pair<const ImageNode*, RunningProgram>> running;
  absl::Status failure;
  const auto note = [&failure](absl::Status status) {
    if (failure.ok()) failure = std::move(status);
  };
  for (const ImageNode& node : nodes) {
    const absl::StatusOr<std::map<std::string, NodeImage>> known = ListImages(node);
    if (!known.ok()) {
      note(known.status());
      continue;
    }
    if (image.ok() && HasImage(*known, *image)) continue;
    absl::StatusOr<RunningProgram> program =
        RunningProgram::Start(Ctr(node, {"images", "import", archive}));
    if (!program.ok()) return program.status();
    running.emplace_back(&node, *std::move(program));
  }
  for (auto& [node, program] : running) {
    const absl::StatusOr<std::string> said = program.Finish();
    if (said.ok()) {
      ++*loaded;
    } else {
      note(OfNode(*node, said.status()));
    }
  }
  return failure;
}

}  // namespace meltemi::cli
