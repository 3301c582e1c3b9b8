// What is wrong, or noteworthy, about configuration: one type for decoding, validation and
// analysis.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

enum class Severity { kInfo, kWarning, kError };

absl::string_view SeverityName(Severity severity);  // "Info", "Warning", "Error"

// Codes are Istio's analyzer codes where Istio has one for it.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string code;     // "IST0106"
  std::string object;   // "VirtualService default/flaskapp"; empty when no object is known
  std::string path;     // "spec.http[0].timeout"; empty when it is about the object as a whole
  std::string file;     // empty: not from a file
  int line = 0;         // 0: not known
  std::string message;  // what is wrong, and what would be right

  // "Error [IST0106] (VirtualService default/flaskapp vs.yaml:12) spec.http[0].timeout: …"
  std::string ToString() const;

  bool operator==(const Diagnostic& other) const;
};

bool HasErrors(const std::vector<Diagnostic>& diagnostics);

// By file, line, object, path: a stable order for people to read. Repeated ones are dropped.
void SortDiagnostics(std::vector<Diagnostic>* diagnostics);

}  // namespace meltemi::pilot
