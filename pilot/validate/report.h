// How the rules say what is wrong: a path into the object, and a sink of diagnostics that knows the
// object's name, file and lines.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

// "spec.http[0].match[1].headers[end-user]", built as the rules walk down.
class Path {
 public:
  explicit Path(absl::string_view text) : text_(text) {}

  Path operator/(absl::string_view field) const;
  Path operator[](size_t index) const;
  Path Key(absl::string_view key) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Istio's code of errors and of warnings about one object on its own, and of what we cannot do yet.
inline constexpr char kSchemaError[] = "IST0106";
inline constexpr char kSchemaWarning[] = "IST0133";
inline constexpr char kUnsupported[] = "MELT0010";

class Report {
 public:
  // Appends to `*out`; both outlive the report.
  Report(const Object& object, std::vector<Diagnostic>* out) : object_(object), out_(*out) {}

  void Error(const Path& path, absl::string_view message, absl::string_view code = kSchemaError) {
    Add(Severity::kError, path, message, code);
  }
  void Warning(const Path& path, absl::string_view message,
               absl::string_view code = kSchemaWarning) {
    Add(Severity::kWarning, path, message, code);
  }
  void Info(const Path& path, absl::string_view message, absl::string_view code) {
    Add(Severity::kInfo, path, message, code);
  }
  // An error, unless the grammar found nothing wrong.
  void Check(const Path& path, const std::string& wrong) {
    if (!wrong.empty()) Error(path, wrong);
  }
  // Something valid that would be silently without effect, or change meaning: refused by its name.
  void Unsupported(const Path& path, absl::string_view what) {
    Error(path, std::string(what) + " is not supported yet", kUnsupported);
  }

  const Object& object() const { return object_; }

 private:
  void Add(Severity severity, const Path& path, absl::string_view message, absl::string_view code);

  const Object& object_;
  std::vector<Diagnostic>& out_;
};

}  // namespace meltemi::pilot
