// The arguments of one verb: options by name, the rest in order.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

struct Option {
  std::string name;   // "output"; given as --output VALUE or --output=VALUE
  char letter = 0;    // 'o' for -o; 0: none
  std::string value;  // what its value is, for the help; empty: a switch
  std::string fallback;
  std::string help;
};

class Args {
 public:
  // Invalid argument where an option is unknown or lacks its value.
  static absl::StatusOr<Args> Parse(const std::vector<std::string>& words,
                                    const std::vector<Option>& options);

  // The option's value, or its fallback.
  const std::string& Get(absl::string_view name) const;
  bool Has(absl::string_view name) const { return !Get(name).empty(); }
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::string> values_;
  std::vector<std::string> rest_;
};

// One line per option.
std::string OptionsHelp(const std::vector<Option>& options);

}  // namespace meltemi::cli
