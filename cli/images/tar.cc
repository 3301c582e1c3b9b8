#include "cli/images/tar.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace meltemi::cli {
namespace {

constexpr size_t kNameBytes = 100, kPrefixBytes = 155;
constexpr uint64_t kOctal12Max = 077777777777;  // what eleven octal digits hold
constexpr size_t kChecksumAt = 148;

void Put(std::string& block, size_t at, absl::string_view text) {
  std::memcpy(&block[at], text.data(), text.size());
}

// digits octal digits and a NUL.
void PutOctal(std::string& block, size_t at, int digits, uint64_t value) {
  Put(block, at, absl::StrFormat("%0*o", digits, value));
}

// Where a long name is cut so that both halves fit; 0: nowhere.
size_t PrefixLength(absl::string_view name) {
  if (name.size() <= kNameBytes) return 0;
  const absl::string_view body = absl::StripSuffix(name, "/");
  for (size_t cut = body.rfind('/'); cut != absl::string_view::npos && cut > 0;
       cut = body.rfind('/', cut - 1)) {
    if (name.size() - cut - 1 > kNameBytes) return 0;
    if (cut <= kPrefixBytes) return cut;
  }
  return 0;
}

std::string Block(const TarEntry& entry, absl::string_view name, absl::string_view prefix) {
  std::string block(kTarBlockBytes, '\0');
  Put(block, 0, name.substr(0, kNameBytes));
  PutOctal(block, 100, 7, entry.mode & 07777);
  PutOctal(block, 108, 7, entry.uid);
  PutOctal(block, 116, 7, entry.gid);
  PutOctal(block, 124, 11, std::min(entry.size_bytes, kOctal12Max));
  PutOctal(block, 136, 11, static_cast<uint64_t>(std::max<int64_t>(0, entry.mtime_s)));
  block[156] = entry.type;
  Put(block, 157, absl::string_view(entry.link).substr(0, kNameBytes));
  Put(block, 257, absl::string_view("ustar\00000", 8));
  Put(block, 345, prefix);
  Put(block, kChecksumAt, "        ");
  uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Put(block, kChecksumAt, absl::StrFormat("%06o", sum));
  block[kChecksumAt + 6] = '\0';
  return block;
}

// "27 path=…\n": the length counts itself.
std::string PaxRecord(absl::string_view key, absl::string_view value) {
  const size_t rest = key.size() + value.size() + 3;  // blank, '=' and line feed
  size_t length = rest + 1;
  while (absl::StrCat(length).size() + rest != length) {
    length = absl::StrCat(length).size() + rest;
  }
  return absl::StrCat(length, " ", key, "=", value, "\n");
}

}  // namespace

std::string TarPadding(uint64_t size_bytes) {
  return std::string((kTarBlockBytes - size_bytes % kTarBlockBytes) % kTarBlockBytes, '\0');
}

std::string TarEnd() { return std::string(2 * kTarBlockBytes, '\0'); }

std::string TarHeader(const TarEntry& entry) {
  const absl::string_view name = entry.name;
  const size_t cut = PrefixLength(name);
  std::string records;
  if (cut == 0 && name.size() > kNameBytes) records += PaxRecord("path", name);
  if (entry.link.size() > kNameBytes) records += PaxRecord("linkpath", entry.link);
  if (entry.size_bytes > kOctal12Max) records += PaxRecord("size", absl::StrCat(entry.size_bytes));
  std::string out;
  if (!records.empty()) {
    TarEntry pax;
    pax.type = 'x';
    pax.size_bytes = records.size();
    out = absl::StrCat(Block(pax, "pax", ""), records, TarPadding(records.size()));
  }
  out +=
      cut == 0 ? Block(entry, name, "") : Block(entry, name.substr(cut + 1), name.substr(0, cut));
  return out;
}

bool ReadTarHeader(absl::string_view block, TarEntry* entry) {
  if (block.size() < kTarBlockBytes || block[0] == '\0') return false;
  if (block.substr(257, 5) != "ustar") return false;
  const absl::string_view name = block.substr(0, kNameBytes);
  entry->name = std::string(name.substr(0, name.find('\0')));
  entry->type = block[156];
  uint64_t size = 0;
  for (const char c : block.substr(124, 11)) {
    if (c < '0' || c > '7') break;
    size = size * 8 + static_cast<uint64_t>(c - '0');
  }
  entry->size_bytes = size;
  return true;
}

}  // namespace meltemi::cli
