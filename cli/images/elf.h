// What a program needs to run, read from its file: the loader, shared libraries, or the interpreter
// of a script. Nothing of it is executed.
//
// Source: System V ABI (ELF-64, dynamic section), ld.so(8) for the order of folders.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/images/root_fs.h"

namespace meltemi::cli {

struct ElfNeeds {
  bool is_elf = false;
  uint16_t machine = 0;
  std::string loader;                  // PT_INTERP; empty: static
  std::vector<std::string> libraries;  // DT_NEEDED
  std::vector<std::string> folders;    // DT_RUNPATH, or else DT_RPATH, as written
  std::string script_interpreter;      // of "#!": a path
};

// `bytes`: the whole file. A file that is neither ELF nor a script needs nothing. Error: an ELF
// file that is broken, or not of 64 bits in this machine's order.
absl::StatusOr<ElfNeeds> ReadElfNeeds(absl::string_view bytes);

// The file without what only linkers and debuggers read: sections and symbols. Error: no ELF file
// of this form.
absl::StatusOr<std::string> StripElf(absl::string_view bytes);

// Adds the program, stripped, as `path`, and what it needs at the places that that has on this
// machine.
absl::Status AddStrippedProgram(const std::string& program, const std::string& path, RootFs* root);

// Adds the program, what it needs, and the links on the way, at the places that they have on this
// machine. Error: the first thing that is missing, and who needs it.
absl::Status AddProgram(const std::string& program, RootFs* root);

}  // namespace meltemi::cli
