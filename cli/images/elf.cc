#include "cli/images/elf.h"

#include <elf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeadersMax = 1000, kDynamicMax = 10'000, kScriptLineMax = 256;
constexpr uint64_t kFileBytesMax = 1ull << 31;
constexpr int kLinksMax = 40;

// Reads a struct; nullopt: it reaches beyond the file.
template <typename T>
std::optional<T> At(absl::string_view bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, bytes.data() + offset, sizeof(T));
  return out;
}

std::optional<std::string> TextAt(absl::string_view bytes, uint64_t offset) {
  if (offset >= bytes.size()) return std::nullopt;
  const size_t end = bytes.find('\0', offset);
  if (end == absl::string_view::npos) return std::nullopt;
  return std::string(bytes.substr(offset, end - offset));
}

absl::Status Broken(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("broken ELF file: ", what));
}

std::string ScriptInterpreter(absl::string_view bytes) {
  absl::string_view line = bytes.substr(2, kScriptLineMax);
  line = line.substr(0, line.find('\n'));
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  if (words.empty()) return "";
  // `env NAME` finds the program in PATH.
  if (absl::EndsWith(words[0], "/env") && words.size() > 1) {
    for (const char* folder : {"/usr/local/bin/", "/usr/bin/", "/bin/"}) {
      const std::string path = absl::StrCat(folder, words[1]);
      if (fs::exists(path)) return path;
    }
  }
  return std::string(words[0]);
}

// Offsets in the file of what is mapped at addresses.
class Segments {
 public:
  void Add(const Elf64_Phdr& header) { loads_.push_back(header); }
  std::optional<uint64_t> Offset(uint64_t address) const {
    for (const Elf64_Phdr& load : loads_) {
      if (address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz) {
        return load.p_offset + (address - load.p_vaddr);
      }
    }
    return std::nullopt;
  }

 private:
  std::vector<Elf64_Phdr> loads_;
};

absl::Status ReadDynamic(absl::string_view bytes, const Elf64_Phdr& header,
                         const Segments& segments, ElfNeeds* needs) {
  std::vector<Elf64_Dyn> entries;
  std::optional<uint64_t> texts;
  const size_t count = std::min<uint64_t>(header.p_filesz / sizeof(Elf64_Dyn), kDynamicMax);
  for (size_t i = 0; i < count; ++i) {
    const auto entry = At<Elf64_Dyn>(bytes, header.p_offset + i * sizeof(Elf64_Dyn));
    if (!entry) return Broken("its dynamic section is cut off");
    if (entry->d_tag == DT_NULL) break;
    if (entry->d_tag == DT_STRTAB) texts = segments.Offset(entry->d_un.d_ptr);
    entries.push_back(*entry);
  }
  if (!texts) return entries.empty() ? absl::OkStatus() : Broken("it has no table of texts");
  std::string runpath, rpath;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_RUNPATH && entry.d_tag != DT_RPATH) continue;
    std::optional<std::string> text = TextAt(bytes, *texts + entry.d_un.d_val);
    if (!text) return Broken("a name lies outside");
    if (entry.d_tag == DT_NEEDED) needs->libraries.push_back(*std::move(text));
    if (entry.d_tag == DT_RUNPATH) runpath = *std::move(text);
    if (entry.d_tag == DT_RPATH) rpath = *std::move(text);
  }
  needs->folders = absl::StrSplit(runpath.empty() ? rpath : runpath, ':', absl::SkipEmpty());
  return absl::OkStatus();
}

// "/usr/lib/x86_64-linux-gnu" on Debian.
const char* TripletOf(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86_64-linux-gnu";
    case EM_AARCH64:
      return "aarch64-linux-gnu";
    case EM_RISCV:
      return "riscv64-linux-gnu";
    case EM_PPC64:
      return "powerpc64le-linux-gnu";
    default:
      return "";
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(absl::StrCat(path, ": ", error.message()));
  if (size > kFileBytesMax) return absl::InvalidArgumentError(path + " is larger than 2 GB");
  std::ifstream in(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!in.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::FailedPreconditionError("cannot read " + path);
  }
  return bytes;
}

// The machine of an ELF file's head; 0: it is none.
uint16_t MachineOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string head(sizeof(Elf64_Ehdr), '\0');
  if (!in.read(head.data(), static_cast<std::streamsize>(head.size()))) return 0;
  if (head.compare(0, SELFMAG, ELFMAG) != 0 || head[EI_CLASS] != ELFCLASS64) return 0;
  return At<Elf64_Ehdr>(head, 0)->e_machine;
}

// Adds `path`, the links that it consists of, and its target. Returns the target.
absl::StatusOr<std::string> AddWithLinks(std::string path, RootFs* root) {
  for (int links = 0; links < kLinksMax; ++links) {
    std::error_code error;
    const fs::path whole(path);
    const fs::path folder = fs::canonical(whole.parent_path(), error);
    if (error) return absl::NotFoundError(absl::StrCat(path, ": ", error.message()));
    const std::string real = (folder / whole.filename()).string();
    if (absl::Status status = root->AddHostFile(real, real, true); !status.ok()) return status;
    if (!fs::is_symlink(real, error)) return real;
    const fs::path target = fs::read_symlink(real, error);
    path = target.is_absolute() ? target.string() : (folder / target).string();
  }
  return absl::FailedPreconditionError(absl::StrCat(path, ": too many symbolic links"));
}

std::string FindLibrary(const std::string& name, const ElfNeeds& needs, const std::string& origin) {
  if (absl::StrContains(name, '/')) return fs::exists(name) ? name : "";
  std::vector<std::string> folders;
  for (const std::string& folder : needs.folders) {
    folders.push_back(absl::StrReplaceAll(folder, {{"$ORIGIN", origin}, {"${ORIGIN}", origin}}));
  }
  const std::string triplet = TripletOf(needs.machine);
  if (!triplet.empty()) {
    folders.push_back("/lib/" + triplet);
    folders.push_back("/usr/lib/" + triplet);
  }
  for (const char* folder : {"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}) {
    folders.emplace_back(folder);
  }
  for (const std::string& folder : folders) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (MachineOf(path) == needs.machine) return path;
  }
  return "";
}

}  // namespace

absl::StatusOr<ElfNeeds> ReadElfNeeds(absl::string_view bytes) {
  ElfNeeds needs;
  if (absl::StartsWith(bytes, "#!")) {
    needs.script_interpreter = ScriptInterpreter(bytes);
    return needs;
  }
  if (bytes.substr(0, SELFMAG) != absl::string_view(ELFMAG, SELFMAG)) return needs;
  const auto header = At<Elf64_Ehdr>(bytes, 0);
  if (!header) return Broken("it ends in its header");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB) {
    return Broken("it is not of 64 bits, little-endian");
  }
  needs.is_elf = true;
  needs.machine = header->e_machine;
  Segments segments;
  std::optional<Elf64_Phdr> dynamic;
  for (size_t i = 0; i < std::min<size_t>(header->e_phnum, kHeadersMax); ++i) {
    const auto segment = At<Elf64_Phdr>(bytes, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return Broken("its program headers are cut off");
    if (segment->p_type == PT_LOAD) segments.Add(*segment);
    if (segment->p_type == PT_DYNAMIC) dynamic = *segment;
    if (segment->p_type != PT_INTERP) continue;
    std::optional<std::string> loader = TextAt(bytes, segment->p_offset);
    if (!loader) return Broken("the name of its loader lies outside");
    needs.loader = *std::move(loader);
  }
  if (dynamic) {
    absl::Status status = ReadDynamic(bytes, *dynamic, segments, &needs);
    if (!status.ok()) return status;
  }
  return needs;
}

absl::Status AddProgram(const std::string& program, RootFs* root) {
  std::deque<std::pair<std::string, std::string>> wanted = {{program, ""}};  // path, who needs it
  std::set<std::string> done;
  while (!wanted.empty()) {
    const auto [path, by] = std::move(wanted.front());
    wanted.pop_front();
    if (!done.insert(path).second) continue;
    const auto explain = [&by = by, &path = path](const absl::Status& status) {
      return absl::Status(status.code(),
                          absl::StrCat(by.empty() ? "" : absl::StrCat("needed by ", by, ": "), path,
                                       ": ", status.message()));
    };
    const absl::StatusOr<std::string> real = AddWithLinks(path, root);
    if (!real.ok()) return explain(real.status());
    const absl::StatusOr<std::string> bytes = ReadFile(*real);
    if (!bytes.ok()) return explain(bytes.status());
    const absl::StatusOr<ElfNeeds> needs = ReadElfNeeds(*bytes);
    if (!needs.ok()) return explain(needs.status());
    if (!needs->script_interpreter.empty()) wanted.emplace_back(needs->script_interpreter, path);
    if (!needs->loader.empty()) wanted.emplace_back(needs->loader, path);
    const std::string origin = fs::path(*real).parent_path().string();
    for (const std::string& name : needs->libraries) {
      std::string library = FindLibrary(name, *needs, origin);
      if (library.empty()) {
        return absl::NotFoundError(
            absl::StrCat(path, " needs ", name, ", which is not in the loader's folders"));
      }
      wanted.emplace_back(std::move(library), path);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> StripElf(absl::string_view bytes) {
  const absl::StatusOr<ElfNeeds> needs = ReadElfNeeds(bytes);
  if (!needs.ok()) return needs.status();
  const auto header = At<Elf64_Ehdr>(bytes, 0);
  if (!needs->is_elf || !header) return absl::InvalidArgumentError("it is no program");
  // What the kernel and the loader read is told by program headers alone; sections come after it.
  uint64_t end = sizeof(Elf64_Ehdr);
  for (size_t i = 0; i < std::min<size_t>(header->e_phnum, kHeadersMax); ++i) {
    const uint64_t at = header->e_phoff + i * sizeof(Elf64_Phdr);
    const auto segment = At<Elf64_Phdr>(bytes, at);
    if (!segment) return Broken("its program headers are cut off");
    if (segment->p_filesz > bytes.size() || segment->p_offset > bytes.size() - segment->p_filesz) {
      return Broken("a segment lies outside");
    }
    end = std::max({end, at + sizeof(Elf64_Phdr), segment->p_offset + segment->p_filesz});
  }
  std::string stripped(bytes.substr(0, end));
  Elf64_Ehdr changed = *header;
  changed.e_shoff = 0;
  changed.e_shnum = 0;
  changed.e_shstrndx = 0;
  std::memcpy(stripped.data(), &changed, sizeof(changed));
  return stripped;
}

absl::Status AddStrippedProgram(const std::string& program, const std::string& path, RootFs* root) {
  const auto explain = [&program](const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat(program, ": ", status.message()));
  };
  const absl::StatusOr<std::string> bytes = ReadFile(program);
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<std::string> stripped = StripElf(*bytes);
  if (!stripped.ok()) return explain(stripped.status());
  const absl::StatusOr<ElfNeeds> needs = ReadElfNeeds(*stripped);
  if (!needs.ok()) return explain(needs.status());
  absl::Status status = root->AddText(path, *std::move(stripped), 0755);
  if (status.ok() && !needs->loader.empty()) status = AddProgram(needs->loader, root);
  const std::string origin = fs::path(program).parent_path().string();
  for (const std::string& name : needs->libraries) {
    if (!status.ok()) break;
    const std::string library = FindLibrary(name, *needs, origin);
    if (library.empty()) {
      return absl::NotFoundError(
          absl::StrCat(program, " needs ", name, ", which is not in the loader's folders"));
    }
    status = AddProgram(library, root);
  }
  return status;
}

}  // namespace meltemi::cli
