// The headers (or trailers) of one message: pseudo headers in slots of their own, the rest in
// order.
//
// Loop-owned. All names are lower case. Views handed out stay valid until the map is destroyed or
// Clear()ed: bytes live in the map's arena and are never moved, also when an entry is replaced.
// Maps are recycled through a free list of the thread (HeaderMap::New), so a request allocates
// nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/header_id.h"

namespace meltemi::http {

class HeaderMap;
struct HeaderMapRecycler {
  void operator()(HeaderMap* map) const;
};
using HeaderMapPtr = std::unique_ptr<HeaderMap, HeaderMapRecycler>;

class HeaderMap {
 public:
  struct Entry {
    absl::string_view name;
    absl::string_view value;
    HeaderId id;
  };

  static HeaderMapPtr New();
  HeaderMap() = default;
  HeaderMap(const HeaderMap&) = delete;
  HeaderMap& operator=(const HeaderMap&) = delete;

  // --- Pseudo headers; "" / 0 means absent. In HTTP/1 authority is the Host header (which is not
  // among the entries), path is the request target, scheme is set by the connection's driver.
  absl::string_view method() const { return method_; }
  absl::string_view scheme() const { return scheme_; }
  absl::string_view authority() const { return authority_; }
  absl::string_view path() const { return path_; }          // with query; "" for CONNECT
  absl::string_view protocol() const { return protocol_; }  // RFC 8441 :protocol
  int status() const { return status_; }
  void set_method(absl::string_view v) { method_ = Copy(v); }
  void set_scheme(absl::string_view v) { scheme_ = Copy(v); }
  void set_authority(absl::string_view v) { authority_ = Copy(v); }
  void set_path(absl::string_view v) { path_ = Copy(v); }
  void set_protocol(absl::string_view v) { protocol_ = Copy(v); }
  void set_status(int status) { status_ = status; }
  // For views that already live in this arena or in static storage.
  void set_method_view(absl::string_view v) { method_ = v; }
  void set_scheme_view(absl::string_view v) { scheme_ = v; }
  void set_authority_view(absl::string_view v) { authority_ = v; }
  void set_path_view(absl::string_view v) { path_ = v; }
  void set_protocol_view(absl::string_view v) { protocol_ = v; }

  // --- Fields
  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  // Sum of name and value lengths and 32 per entry (RFC 9113 6.5.2), pseudo headers included.
  size_t byte_size() const;

  // Cheap when absent. `id` must not be kUnknown.
  bool Has(HeaderId id) const { return (present_[Word(id)] >> Bit(id)) & 1; }
  const Entry* Find(HeaderId id) const;
  // `lower_name` may be a known one or not. Fields alone: pseudo headers have no entry.
  const Entry* Find(absl::string_view lower_name) const;
  // The first value; "" when absent. By text, pseudo headers are found too (":path" …, except
  // :status), and "host" is the authority.
  absl::string_view Get(HeaderId id) const;
  absl::string_view Get(absl::string_view lower_name) const;
  // All values joined with "," as one (RFC 9110 5.2); `scratch` is used only when there are
  // several.
  // `*present` tells whether there was any. Finds pseudo headers as Get does.
  absl::string_view GetJoined(absl::string_view lower_name, std::string* scratch,
                              bool* present) const;

  // Appends a field. Names must be lower case. Add copies the value (and an unknown name).
  void Add(HeaderId id, absl::string_view value);
  void Add(absl::string_view lower_name, absl::string_view value);
  // Like Add, without copying: the views live in this arena or in static storage.
  void AddView(HeaderId id, absl::string_view lower_name, absl::string_view value) {
    entries_.push_back({lower_name, value, id});
    present_[Word(id)] |= uint64_t{1} << Bit(id);
  }
  // Replaces the first of the name, removes its other occurrences, or appends.
  void Set(HeaderId id, absl::string_view value);
  void Set(absl::string_view lower_name, absl::string_view value);
  // How many were removed.
  size_t Remove(HeaderId id);
  size_t Remove(absl::string_view lower_name);
  size_t RemovePrefix(absl::string_view lower_prefix);

  HeaderMapPtr Clone() const;
  void Clear();

  // --- Arena
  absl::string_view Copy(absl::string_view bytes);
  char* Allocate(size_t bytes);

 private:
  friend struct HeaderMapRecycler;
  static constexpr size_t kInlineBytes = 1536;
  static constexpr size_t Word(HeaderId id) { return static_cast<uint8_t>(id) >> 6; }
  static constexpr size_t Bit(HeaderId id) { return static_cast<uint8_t>(id) & 63; }
  template <typename Predicate>
  size_t RemoveIf(Predicate&& predicate);

  absl::string_view method_, scheme_, authority_, path_, protocol_;
  int status_ = 0;
  uint64_t present_[2] = {0, 0};  // one bit per HeaderId that has an entry
  std::vector<Entry> entries_;
  size_t inline_used_ = 0;
  std::vector<std::unique_ptr<char[]>> overflow_;
  size_t overflow_left_ = 0;
  char* overflow_at_ = nullptr;
  char inline_[kInlineBytes];
};

}  // namespace meltemi::http
