#include "base/flags/flags.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi {
namespace {

std::string Dashed(absl::string_view name) {
  return absl::StrCat(name.size() == 1 ? "-" : "--", name);
}

// Levenshtein's distance, for "did you mean".
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string TimeText(Duration time) {
  const int64_t ms = ToMillis(time);
  return ms % 1000 == 0 ? absl::StrCat(ms / 1000, "s") : absl::StrCat(ms, "ms");
}

}  // namespace

absl::Status ParseTime(const std::string& text, Duration* out) {
  absl::string_view number = text;
  double unit_ms = 1000;
  for (auto [suffix, ms] : {std::pair<absl::string_view, double>{"ms", 1},
                            {"s", 1000},
                            {"m", 60'000},
                            {"h", 3'600'000}}) {
    if (!absl::EndsWith(number, suffix)) continue;
    number.remove_suffix(suffix.size());
    unit_ms = ms;
    break;
  }
  double value = 0;
  if (!absl::SimpleAtod(number, &value) || !(value >= 0) || value * unit_ms > 1e12) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no duration (write 45s, 500ms, 2m or 1h)"));
  }
  *out = milliseconds(static_cast<int64_t>(value * unit_ms));
  return absl::OkStatus();
}

void Flags::Custom(std::string name, Aliases aliases, std::string value_name, std::string help,
                   std::function<absl::Status(const std::string&)> take) {
  flags_.push_back({std::move(name), std::move(aliases), /*is_switch=*/false, std::move(value_name),
                    std::move(help), "", std::move(take)});
}

void Flags::Switch(std::string name, Aliases aliases, bool* out, std::string help) {
  Custom(std::move(name), std::move(aliases), "", std::move(help), [out](const std::string& text) {
    if (text == "true" || text == "1") {
      *out = true;
    } else if (text == "false" || text == "0") {
      *out = false;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
    }
    return absl::OkStatus();
  });
  flags_.back().is_switch = true;
}

void Flags::Text(std::string name, Aliases aliases, std::string* out, std::string value_name,
                 std::string help) {
  Custom(std::move(name), std::move(aliases), std::move(value_name), std::move(help),
         [out](const std::string& text) {
           *out = text;
           return absl::OkStatus();
         });
  flags_.back().default_text = *out;
}

void Flags::Number(std::string name, Aliases aliases, uint32_t* out, uint32_t min, uint32_t max,
                   std::string help) {
  Custom(std::move(name), std::move(aliases), "N", std::move(help),
         [out, min, max](const std::string& text) {
           uint32_t value = 0;
           if (!absl::SimpleAtoi(text, &value) || value < min || value > max) {
             return absl::InvalidArgumentError(
                 absl::StrCat("'", text, "' is no number from ", min, " to ", max));
           }
           *out = value;
           return absl::OkStatus();
         });
  flags_.back().default_text = absl::StrCat(*out);
}

void Flags::Time(std::string name, Aliases aliases, Duration* out, std::string help) {
  Custom(std::move(name), std::move(aliases), "TIME", std::move(help),
         [out](const std::string& text) { return ParseTime(text, out); });
  flags_.back().default_text = TimeText(*out);
}

void Flags::Choice(std::string name, Aliases aliases, std::string* out,
                   std::vector<std::string> choices, std::string help) {
  const std::string listed = absl::StrJoin(choices, "|");
  Custom(std::move(name), std::move(aliases), listed, std::move(help),
         [out, listed, choices = std::move(choices)](const std::string& text) {
           if (std::find(choices.begin(), choices.end(), text) == choices.end()) {
             return absl::InvalidArgumentError(absl::StrCat("'", text, "' is none of ", listed));
           }
           *out = text;
           return absl::OkStatus();
         });
  flags_.back().default_text = *out;
}

void Flags::Repeated(std::string name, Aliases aliases, std::vector<std::string>* out,
                     std::string value_name, std::string help) {
  Custom(std::move(name), std::move(aliases), std::move(value_name), std::move(help),
         [out](const std::string& text) {
           out->push_back(text);
           return absl::OkStatus();
         });
}

const Flags::Flag* Flags::Find(absl::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) return &flag;
    for (const std::string& alias : flag.aliases) {
      if (alias == name) return &flag;
    }
  }
  return nullptr;
}

std::string Flags::Nearest(absl::string_view name) const {
  const Flag* nearest = nullptr;
  size_t distance_min = name.size() / 2 + 1;
  for (const Flag& flag : flags_) {
    const size_t distance = Distance(flag.name, name);
    if (distance >= distance_min) continue;
    distance_min = distance;
    nearest = &flag;
  }
  return nearest == nullptr ? "" : nearest->name;
}

absl::Status Flags::Parse(const std::vector<std::string>& args, std::vector<std::string>* rest) {
  for (const std::string& arg : args) help_wanted_ |= arg == "--help" || arg == "-h";
  if (help_wanted_) return absl::OkStatus();
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view name = args[i];
    if (!absl::StartsWith(name, "-") || name == "-") {
      if (rest == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("unexpected argument '", args[i], "'"));
      }
      rest->push_back(args[i]);
      continue;
    }
    name.remove_prefix(absl::StartsWith(name, "--") ? 2 : 1);
    const size_t equals = name.find('=');
    std::string value;
    if (equals != absl::string_view::npos) {
      value = std::string(name.substr(equals + 1));
      name = name.substr(0, equals);
    }
    const Flag* flag = Find(name);
    if (flag == nullptr) {
      const std::string nearest = Nearest(name);
      return absl::InvalidArgumentError(absl::StrCat(
          "unknown option ", Dashed(name),
          nearest.empty() ? "" : absl::StrCat(", did you mean ", Dashed(nearest), "?")));
    }
    if (equals == absl::string_view::npos) {
      if (flag->is_switch) {
        value = "true";
      } else if (i + 1 < args.size()) {
        value = args[++i];
      } else {
        return absl::InvalidArgumentError(
            absl::StrCat(Dashed(name), " needs a value: ", flag->value_name));
      }
    }
    if (absl::Status status = flag->take(value); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(Dashed(name), ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

std::string Flags::Help() const {
  std::string text = absl::StrCat("usage: ", usage_, "\n\n");
  for (const Flag& flag : flags_) {
    std::vector<std::string> names = {Dashed(flag.name)};
    for (const std::string& alias : flag.aliases) {
      if (alias.size() == 1) names.push_back(Dashed(alias));
    }
    std::string left = absl::StrCat("  ", absl::StrJoin(names, ", "),
                                    flag.value_name.empty() ? "" : " ", flag.value_name);
    if (left.size() < 36) left.resize(36, ' ');
    absl::StrAppend(&text, left, "  ", flag.help);
    if (!flag.default_text.empty()) absl::StrAppend(&text, " (", flag.default_text, ")");
    absl::StrAppend(&text, "\n");
  }
  return text;
}

}  // namespace meltemi
