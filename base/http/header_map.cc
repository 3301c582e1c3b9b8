#include "base/http/header_map.h"

#include <algorithm>
#include <cstring>

namespace meltemi::http {
namespace {

// A map is about 2 KiB; 64 of them cover what one loop has in flight at once most of the time.
constexpr size_t kFreeMapsMax = 64;
constexpr size_t kOverflowBytesMin = 4096;
constexpr size_t kEntryOverheadBytes = 32;  // RFC 9113 6.5.2
constexpr size_t kEntriesReserved = 24;

struct FreeList {
  std::vector<HeaderMap*> maps;
  ~FreeList() {
    for (HeaderMap* map : maps) delete map;
  }
};

FreeList& ThreadFreeList() {
  thread_local FreeList list;
  return list;
}

}  // namespace

void HeaderMapRecycler::operator()(HeaderMap* map) const {
  FreeList& list = ThreadFreeList();
  if (list.maps.size() >= kFreeMapsMax) {
    delete map;
    return;
  }
  map->Clear();
  list.maps.push_back(map);
}

HeaderMapPtr HeaderMap::New() {
  FreeList& list = ThreadFreeList();
  if (!list.maps.empty()) {
    HeaderMap* map = list.maps.back();
    list.maps.pop_back();
    return HeaderMapPtr(map);
  }
  auto* map = new HeaderMap;  // not value-initialised: the arena needs no zeroes
  map->entries_.reserve(kEntriesReserved);
  return HeaderMapPtr(map);
}

size_t HeaderMap::byte_size() const {
  size_t bytes = 0;
  for (const Entry& entry : entries_) {
    bytes += entry.name.size() + entry.value.size() + kEntryOverheadBytes;
  }
  const struct {
    size_t name_size;
    size_t value_size;
  } pseudo[] = {{7, method_.size()}, {7, scheme_.size()},   {10, authority_.size()},
                {5, path_.size()},   {9, protocol_.size()}, {7, status_ == 0 ? 0u : 3u}};
  for (const auto& field : pseudo) {
    if (field.value_size > 0) bytes += field.name_size + field.value_size + kEntryOverheadBytes;
  }
  return bytes;
}

const HeaderMap::Entry* HeaderMap::Find(HeaderId id) const {
  if (!Has(id)) return nullptr;
  for (const Entry& entry : entries_) {
    if (entry.id == id) return &entry;
  }
  return nullptr;
}

namespace {

// A name that is none of ours.
const HeaderMap::Entry* FindUnknown(const HeaderMap& map, absl::string_view lower_name) {
  for (const HeaderMap::Entry& entry : map.entries()) {
    if (entry.id == HeaderId::kUnknown && entry.name == lower_name) return &entry;
  }
  return nullptr;
}

}  // namespace

const HeaderMap::Entry* HeaderMap::Find(absl::string_view lower_name) const {
  const HeaderId id = FindHeaderId(lower_name);
  return id != HeaderId::kUnknown ? Find(id) : FindUnknown(*this, lower_name);
}

absl::string_view HeaderMap::Get(HeaderId id) const {
  const Entry* entry = Find(id);
  return entry == nullptr ? absl::string_view() : entry->value;
}

namespace {

absl::string_view PseudoValue(const HeaderMap& map, absl::string_view name) {
  if (name == ":path") return map.path();
  if (name == ":authority") return map.authority();
  if (name == ":method") return map.method();
  if (name == ":scheme") return map.scheme();
  if (name == ":protocol") return map.protocol();
  return {};
}

bool IsPseudo(absl::string_view name) { return !name.empty() && name[0] == ':'; }

// HTTP/1's Host is kept as the authority, so that both names find it.
bool IsAuthority(const HeaderMap& map, HeaderId id) {
  return id == HeaderId::kHost && !map.Has(HeaderId::kHost) && !map.authority().empty();
}

}  // namespace

absl::string_view HeaderMap::Get(absl::string_view lower_name) const {
  if (IsPseudo(lower_name)) return PseudoValue(*this, lower_name);
  const HeaderId id = FindHeaderId(lower_name);
  if (IsAuthority(*this, id)) return authority_;
  const Entry* entry = id != HeaderId::kUnknown ? Find(id) : FindUnknown(*this, lower_name);
  return entry == nullptr ? absl::string_view() : entry->value;
}

absl::string_view HeaderMap::GetJoined(absl::string_view lower_name, std::string* scratch,
                                       bool* present) const {
  if (IsPseudo(lower_name) || IsAuthority(*this, FindHeaderId(lower_name))) {
    const absl::string_view value =
        IsPseudo(lower_name) ? PseudoValue(*this, lower_name) : authority_;
    *present = !value.empty();
    return value;
  }
  const Entry* first = Find(lower_name);
  *present = first != nullptr;
  if (first == nullptr) return {};
  const Entry* const end = entries_.data() + entries_.size();
  bool several = false;
  for (const Entry* entry = first + 1; entry != end; ++entry) {
    if (entry->id != first->id || entry->name != first->name) continue;
    if (!several) scratch->assign(first->value.data(), first->value.size());
    several = true;
    scratch->push_back(',');
    scratch->append(entry->value.data(), entry->value.size());
  }
  return several ? absl::string_view(*scratch) : first->value;
}

void HeaderMap::Add(HeaderId id, absl::string_view value) {
  AddView(id, HeaderName(id), Copy(value));
}

void HeaderMap::Add(absl::string_view lower_name, absl::string_view value) {
  const HeaderId id = FindHeaderId(lower_name);
  if (id != HeaderId::kUnknown) return Add(id, value);
  const absl::string_view name = Copy(lower_name);
  AddView(HeaderId::kUnknown, name, Copy(value));
}

void HeaderMap::Set(HeaderId id, absl::string_view value) {
  if (!Has(id)) return Add(id, value);
  bool first = true;
  const absl::string_view copy = Copy(value);
  RemoveIf([&](Entry& entry) {
    if (entry.id != id) return false;
    if (!first) return true;
    first = false;
    entry.value = copy;
    return false;
  });
}

void HeaderMap::Set(absl::string_view lower_name, absl::string_view value) {
  const HeaderId id = FindHeaderId(lower_name);
  if (id != HeaderId::kUnknown) return Set(id, value);
  bool found = false;
  const absl::string_view copy = Copy(value);
  RemoveIf([&](Entry& entry) {
    if (entry.id != HeaderId::kUnknown || entry.name != lower_name) return false;
    if (found) return true;
    found = true;
    entry.value = copy;
    return false;
  });
  if (!found) {
    const absl::string_view name = Copy(lower_name);
    AddView(HeaderId::kUnknown, name, copy);
  }
}

template <typename Predicate>
size_t HeaderMap::RemoveIf(Predicate&& predicate) {
  size_t kept = 0;
  uint64_t present[2] = {0, 0};
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (predicate(entries_[i])) continue;
    if (kept != i) entries_[kept] = entries_[i];
    present[Word(entries_[kept].id)] |= uint64_t{1} << Bit(entries_[kept].id);
    ++kept;
  }
  const size_t removed = entries_.size() - kept;
  entries_.resize(kept);
  present_[0] = present[0];
  present_[1] = present[1];
  return removed;
}

size_t HeaderMap::Remove(HeaderId id) {
  if (!Has(id)) return 0;
  return RemoveIf([id](const Entry& entry) { return entry.id == id; });
}

size_t HeaderMap::Remove(absl::string_view lower_name) {
  const HeaderId id = FindHeaderId(lower_name);
  if (id != HeaderId::kUnknown) return Remove(id);
  return RemoveIf([lower_name](const Entry& entry) { return entry.name == lower_name; });
}

size_t HeaderMap::RemovePrefix(absl::string_view lower_prefix) {
  return RemoveIf([lower_prefix](const Entry& entry) {
    return entry.name.size() >= lower_prefix.size() &&
           entry.name.substr(0, lower_prefix.size()) == lower_prefix;
  });
}

HeaderMapPtr HeaderMap::Clone() const {
  HeaderMapPtr copy = New();
  copy->set_method(method_);
  copy->set_scheme(scheme_);
  copy->set_authority(authority_);
  copy->set_path(path_);
  copy->set_protocol(protocol_);
  copy->set_status(status_);
  for (const Entry& entry : entries_) {
    const absl::string_view name =
        entry.id == HeaderId::kUnknown ? copy->Copy(entry.name) : HeaderName(entry.id);
    copy->AddView(entry.id, name, copy->Copy(entry.value));
  }
  return copy;
}

void HeaderMap::Clear() {
  method_ = scheme_ = authority_ = path_ = protocol_ = absl::string_view();
  status_ = 0;
  present_[0] = present_[1] = 0;
  entries_.clear();
  if (entries_.capacity() > 4 * kEntriesReserved) entries_.shrink_to_fit();
  inline_used_ = 0;
  overflow_.clear();
  overflow_left_ = 0;
  overflow_at_ = nullptr;
}

absl::string_view HeaderMap::Copy(absl::string_view bytes) {
  if (bytes.empty()) return {};
  char* to = Allocate(bytes.size());
  memcpy(to, bytes.data(), bytes.size());
  return {to, bytes.size()};
}

char* HeaderMap::Allocate(size_t bytes) {
  if (bytes <= kInlineBytes - inline_used_) {
    char* at = inline_ + inline_used_;
    inline_used_ += bytes;
    return at;
  }
  if (bytes > overflow_left_) {
    const size_t block_bytes = std::max(bytes, kOverflowBytesMin);
    overflow_.emplace_back(new char[block_bytes]);
    overflow_at_ = overflow_.back().get();
    overflow_left_ = block_bytes;
  }
  char* at = overflow_at_;
  overflow_at_ += bytes;
  overflow_left_ -= bytes;
  return at;
}

}  // namespace meltemi::http
