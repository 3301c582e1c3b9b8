#include "orchestrator/apiserver/kinds/references.h"

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {

void ValidateDomainPrefixedPath(absl::string_view text, const kube::FieldPath& path,
                                kube::FieldErrors& errors) {
  if (text.empty()) {
    errors.push_back(kube::Required(path));
    return;
  }
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos || slash == 0 || slash + 1 == text.size()) {
    errors.push_back(
        kube::InvalidField(path, text, "must be a domain-prefixed path (such as \"acme.io/foo\")"));
    return;
  }
  AddInvalid(path, text.substr(0, slash), CheckDns1123Subdomain(text.substr(0, slash)), errors);
  const absl::string_view rest = text.substr(slash + 1);
  const bool fits = absl::c_all_of(rest, [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("/-._~%!$&'()*+,;=:").find(c) != absl::string_view::npos;
  });
  if (fits) return;
  errors.push_back(kube::InvalidField(
      path, rest,
      R"(Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+'))"));
}

void ValidateTypedReference(const json::Value& reference, const kube::FieldPath& path,
                            kube::FieldErrors& errors) {
  if (Has(reference, "apiGroup")) {
    const absl::string_view group = Text(reference, "apiGroup");
    AddInvalid(path.Child("apiGroup"), group, CheckDns1123Subdomain(group), errors);
  }
  for (const char* key : {"kind", "name"}) {
    const absl::string_view text = Text(reference, key);
    if (text.empty()) {
      errors.push_back(kube::Required(path.Child(key), absl::StrCat(key, " is required")));
    } else {
      AddInvalid(path.Child(key), text, CheckPathSegment(text, false), errors);
    }
  }
}

}  // namespace meltemi::apiserver
