// Command-line options: a table of names, targets and help lines.
//
//   Flags flags("meltemi-proxy run [options]");
//   flags.Text("config-path", {"c"}, &options.config_path, "FILE", "the bootstrap, YAML or JSON");
//   absl::Status status = flags.Parse(args);
//
// Not thread-safe. Accepts --name value, --name=value, -n value; a switch needs no value but takes
// =true and =false. An unknown option is an error that names the nearest known one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"

namespace meltemi {

class Flags {
 public:
  explicit Flags(std::string usage) : usage_(std::move(usage)) {}
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // Names and aliases are without dashes; an alias of one letter is written with one dash. Targets
  // keep their value when the option is absent, outlive Parse, and are shown as the default in
  // Help.
  using Aliases = std::vector<std::string>;
  void Switch(std::string name, Aliases aliases, bool* out, std::string help);
  void Text(std::string name, Aliases aliases, std::string* out, std::string value_name,
            std::string help);
  void Number(std::string name, Aliases aliases, uint32_t* out, uint32_t min, uint32_t max,
              std::string help);
  // Seconds ("45"), or a number with ms, s, m or h.
  void Time(std::string name, Aliases aliases, Duration* out, std::string help);
  // One of `choices` and nothing else.
  void Choice(std::string name, Aliases aliases, std::string* out, std::vector<std::string> choices,
              std::string help);
  // May be given several times.
  void Repeated(std::string name, Aliases aliases, std::vector<std::string>* out,
                std::string value_name, std::string help);
  // Takes each value; an error it returns is prefixed with the option's name.
  void Custom(std::string name, Aliases aliases, std::string value_name, std::string help,
              std::function<absl::Status(const std::string&)> take);

  // Error (INVALID_ARGUMENT): the option and what was wrong with it. What is not an option goes to
  // `rest`; when that is null it is an error.
  absl::Status Parse(const std::vector<std::string>& args,
                     std::vector<std::string>* rest = nullptr);
  // True when --help or -h was among the arguments: nothing else was looked at.
  bool help_wanted() const { return help_wanted_; }
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    Aliases aliases;
    bool is_switch = false;
    std::string value_name, help, default_text;
    std::function<absl::Status(const std::string&)> take;
  };
  const Flag* Find(absl::string_view name) const;
  std::string Nearest(absl::string_view name) const;

  std::string usage_;
  std::vector<Flag> flags_;
  bool help_wanted_ = false;
};

absl::Status ParseTime(const std::string& text, Duration* out);

}  // namespace meltemi
