#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "base/json/utf8.h"
#include "kube/selector/selector.h"

namespace meltemi::kube {
namespace {

// At commas that no backslash precedes; the backslashes stay.
std::vector<absl::string_view> SplitTerms(absl::string_view text) {
  std::vector<absl::string_view> terms;
  if (text.empty()) return terms;
  size_t start = 0;
  bool escaped = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (escaped) {
      escaped = false;
    } else if (text[i] == '\\') {
      escaped = true;
    } else if (text[i] == ',') {
      terms.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  terms.push_back(text.substr(start));
  return terms;
}

// False when there is no operator.
bool SplitTerm(absl::string_view term, FieldSelector::Term* parsed, absl::string_view* value) {
  for (size_t i = 0; i < term.size(); ++i) {
    absl::string_view rest = term.substr(i);
    for (absl::string_view op : {"!=", "==", "="}) {
      if (!absl::StartsWith(rest, op)) continue;
      parsed->field = std::string(term.substr(0, i));
      parsed->equals = op != "!=";
      *value = rest.substr(op.size());
      return true;
    }
  }
  return false;
}

absl::StatusOr<std::string> Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      absl::string_view rest = text.substr(i + 1);
      if (rest.empty() || absl::string_view("\\,=").find(rest[0]) == absl::string_view::npos) {
        size_t length = rest.empty() ? 0 : std::max<size_t>(1, json::Utf8SequenceLength(rest));
        return absl::InvalidArgumentError(absl::StrCat(
            "invalid field selector: invalid escape sequence: \\", rest.substr(0, length)));
      }
      out += rest[0];
      ++i;
    } else if (text[i] == '=' || text[i] == ',') {
      return absl::InvalidArgumentError(absl::StrCat(
          "invalid field selector: unescaped character in value: ", static_cast<int>(text[i])));
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<FieldSelector> FieldSelector::Parse(absl::string_view text) {
  std::vector<absl::string_view> parts = SplitTerms(text);
  std::sort(parts.begin(), parts.end());
  FieldSelector selector;
  for (absl::string_view part : parts) {
    if (part.empty()) continue;
    Term term;
    absl::string_view escaped;
    if (!SplitTerm(part, &term, &escaped)) {
      return absl::InvalidArgumentError(
          absl::StrCat("invalid selector: '", text, "'; can't understand '", part, "'"));
    }
    absl::StatusOr<std::string> value = Unescape(escaped);
    if (!value.ok()) return value.status();
    term.value = *std::move(value);
    if (term.field.empty() && term.value.empty()) continue;  // "=" asks for nothing
    selector.terms_.push_back(std::move(term));
  }
  return selector;
}

bool FieldSelector::Matches(
    const std::function<absl::string_view(absl::string_view field)>& field_of) const {
  for (const Term& term : terms_) {
    if ((field_of(term.field) == term.value) != term.equals) return false;
  }
  return true;
}

bool FieldSelector::Matches(const StringPairs& fields) const {
  return Matches([&fields](absl::string_view field) -> absl::string_view {
    auto found =
        std::lower_bound(fields.begin(), fields.end(), field,
                         [](const auto& pair, absl::string_view key) { return pair.first < key; });
    if (found == fields.end() || found->first != field) return {};
    return found->second;
  });
}

std::optional<absl::string_view> FieldSelector::RequiredValue(absl::string_view field) const {
  for (const Term& term : terms_) {
    if (term.equals && term.field == field) return term.value;
  }
  return std::nullopt;
}

std::string FieldSelector::ToString() const {
  return absl::StrJoin(terms_, ",", [](std::string* out, const Term& term) {
    absl::StrAppend(out, term.field, term.equals ? "=" : "!=",
                    absl::StrReplaceAll(term.value, {{"\\", "\\\\"}, {",", "\\,"}, {"=", "\\="}}));
  });
}

}  // namespace meltemi::kube
