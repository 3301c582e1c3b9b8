#include "pilot/ingest/diagnostic.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace meltemi::pilot {
namespace {

auto Tie(const Diagnostic& d) {
  return std::tie(d.file, d.line, d.object, d.path, d.severity, d.code, d.message);
}

}  // namespace

absl::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "Info";
    case Severity::kWarning:
      return "Warning";
    case Severity::kError:
      return "Error";
  }
  return "";
}

std::string Diagnostic::ToString() const {
  std::string where = object;
  if (!file.empty()) {
    absl::StrAppend(&where, where.empty() ? "" : " ", file);
    if (line > 0) absl::StrAppend(&where, ":", line);
  }
  return absl::StrCat(SeverityName(severity), " [", code, "]", where.empty() ? "" : " (", where,
                      where.empty() ? " " : ") ", path, path.empty() ? "" : ": ", message);
}

bool Diagnostic::operator==(const Diagnostic& other) const { return Tie(*this) == Tie(other); }

bool HasErrors(const std::vector<Diagnostic>& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

void SortDiagnostics(std::vector<Diagnostic>* diagnostics) {
  std::sort(diagnostics->begin(), diagnostics->end(),
            [](const Diagnostic& a, const Diagnostic& b) { return Tie(a) < Tie(b); });
  diagnostics->erase(std::unique(diagnostics->begin(), diagnostics->end()), diagnostics->end());
}

}  // namespace meltemi::pilot
