#include "proxy/config/bootstrap/labels_file.h"

#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::proxy {
namespace {

constexpr size_t kFileBytesMax = 1024 * 1024;

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(absl::string_view text) {
  std::map<std::string, std::string> labels;
  int line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    const absl::string_view quoted =
        equals == absl::string_view::npos ? "" : line.substr(equals + 1);
    std::string value;
    if (equals == 0 || quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"' ||
        !absl::CUnescape(quoted.substr(1, quoted.size() - 2), &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", line_number, " is not key=\"value\""));
    }
    labels[std::string(line.substr(0, equals))] = std::move(value);
  }
  return labels;
}

absl::StatusOr<std::map<std::string, std::string>> ReadLabelsFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " can't be read"));
  std::ostringstream text;
  text << file.rdbuf();
  if (text.str().size() > kFileBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than a megabyte"));
  }
  auto labels = ParseLabels(text.str());
  if (labels.ok()) return labels;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", labels.status().message()));
}

}  // namespace meltemi::proxy
