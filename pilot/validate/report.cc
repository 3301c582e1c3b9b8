#include "pilot/validate/report.h"

#include "absl/strings/str_cat.h"

namespace meltemi::pilot {

Path Path::operator/(absl::string_view field) const {
  return Path(absl::StrCat(text_, text_.empty() ? "" : ".", field));
}

Path Path::operator[](size_t index) const { return Path(absl::StrCat(text_, "[", index, "]")); }

Path Path::Key(absl::string_view key) const { return Path(absl::StrCat(text_, "[", key, "]")); }

void Report::Add(Severity severity, const Path& path, absl::string_view message,
                 absl::string_view code) {
  out_.push_back({.severity = severity,
                  .code = std::string(code),
                  .object = object_.Key().ToString(),
                  .path = path.text(),
                  .file = object_.file,
                  .line = object_.LineOf(path.text()),
                  .message = std::string(message)});
}

}  // namespace meltemi::pilot
