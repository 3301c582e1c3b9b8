#include "proxy/observe/peer_metadata.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proxy/observe/mesh_stats.h"

namespace meltemi::proxy {
namespace {

// Larger values are not read: a sidecar's own has a few hundred bytes.
constexpr size_t kHeaderBytesMax = 16 * 1024;

constexpr absl::string_view kCanonicalName = "service.istio.io/canonical-name";
constexpr absl::string_view kCanonicalRevision = "service.istio.io/canonical-revision";

// --- protobuf's wire format, as much as a Struct of strings and Structs needs:
// Struct { map<string, Value> fields = 1; }; a map's entry { key = 1; value = 2; };
// Value { string string_value = 3; Struct struct_value = 5; }
constexpr uint8_t kLengthDelimited = 2;

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

void AppendField(uint32_t number, absl::string_view bytes, std::string* out) {
  AppendVarint(number << 3 | kLengthDelimited, out);
  AppendVarint(bytes.size(), out);
  absl::StrAppend(out, bytes);
}

// `value_field`: 3 for a string, 5 for a Struct.
void AppendEntry(absl::string_view key, uint32_t value_field, absl::string_view value,
                 std::string* out) {
  if (value.empty()) return;
  std::string inner, entry;
  AppendField(value_field, value, &inner);
  AppendField(1, key, &entry);
  AppendField(2, inner, &entry);
  AppendField(1, entry, out);
}

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  // The next field; false at the end or when it is broken (then ok() is false). Fields that are not
  // length-delimited are skipped.
  bool Next(uint32_t* number, absl::string_view* value) {
    while (!bytes_.empty()) {
      uint64_t tag = 0, length = 0;
      if (!Varint(&tag)) return Broken();
      *number = static_cast<uint32_t>(tag >> 3);
      switch (tag & 7) {
        case 0:
          if (!Varint(&length)) return Broken();
          continue;
        case 1:
          if (!Skip(8)) return Broken();
          continue;
        case 5:
          if (!Skip(4)) return Broken();
          continue;
        case kLengthDelimited:
          break;
        default:
          return Broken();
      }
      if (!Varint(&length) || length > bytes_.size()) return Broken();
      *value = bytes_.substr(0, length);
      bytes_.remove_prefix(length);
      return true;
    }
    return false;
  }
  bool ok() const { return ok_; }

 private:
  bool Broken() {
    ok_ = false;
    return false;
  }
  bool Skip(size_t count) {
    if (bytes_.size() < count) return false;
    bytes_.remove_prefix(count);
    return true;
  }
  bool Varint(uint64_t* out) {
    *out = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const uint8_t byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      *out |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  absl::string_view bytes_;
  bool ok_ = true;
};

// Calls f(key, string, object) for each field of a serialised Struct; the one that is not there is
// "".
template <typename F>
bool ForEachField(absl::string_view bytes, F&& f) {
  Reader fields(bytes);
  uint32_t number = 0;
  absl::string_view entry;
  while (fields.Next(&number, &entry)) {
    if (number != 1) continue;
    Reader parts(entry);
    absl::string_view part, key, text, object;
    while (parts.Next(&number, &part)) {
      if (number == 1) key = part;
      if (number != 2) continue;
      Reader value(part);
      absl::string_view content;
      while (value.Next(&number, &content)) {
        if (number == 3) text = content;
        if (number == 5) object = content;
      }
      if (!value.ok()) return false;
    }
    if (!parts.ok()) return false;
    f(key, text, object);
  }
  return fields.ok();
}

void ReadLabel(absl::string_view key, absl::string_view text, MeshPeer* peer) {
  if (key == "app") {
    peer->app = std::string(text);
  } else if (key == "version") {
    peer->version = std::string(text);
  } else if (key == kCanonicalName) {
    peer->canonical_service = std::string(text);
  } else if (key == kCanonicalRevision) {
    peer->canonical_revision = std::string(text);
  }
}

}  // namespace

std::string EncodePeerMetadata(const Workload& self) {
  std::string labels, all;
  AppendEntry("app", 3, self.app, &labels);
  AppendEntry(kCanonicalName, 3, self.canonical_service, &labels);
  AppendEntry(kCanonicalRevision, 3, self.canonical_revision, &labels);
  AppendEntry("version", 3, self.version, &labels);
  AppendEntry("CLUSTER_ID", 3, self.cluster, &all);
  AppendEntry("LABELS", 5, labels, &all);
  AppendEntry("NAMESPACE", 3, self.namespace_, &all);
  if (!self.name.empty()) {
    AppendEntry("OWNER", 3,
                absl::StrCat("kubernetes://apis/apps/v1/namespaces/", self.namespace_,
                             "/deployments/", self.name),
                &all);
  }
  AppendEntry("WORKLOAD_NAME", 3, self.name, &all);
  return absl::Base64Escape(all);
}

std::optional<MeshPeer> DecodePeerMetadata(absl::string_view header_value) {
  std::string bytes;
  if (header_value.empty() || header_value.size() > kHeaderBytesMax ||
      !absl::Base64Unescape(header_value, &bytes)) {
    return std::nullopt;
  }
  MeshPeer peer;
  bool labels_ok = true;
  const bool ok = ForEachField(bytes, [&](absl::string_view key, absl::string_view text,
                                          absl::string_view object) {
    if (key == "WORKLOAD_NAME") {
      peer.workload = std::string(text);
    } else if (key == "NAMESPACE") {
      peer.namespace_ = std::string(text);
    } else if (key == "CLUSTER_ID") {
      peer.cluster = std::string(text);
    } else if (key == "LABELS") {
      labels_ok &= ForEachField(object, [&](absl::string_view label, absl::string_view value,
                                            absl::string_view) { ReadLabel(label, value, &peer); });
    }
  });
  if (!ok || !labels_ok) return std::nullopt;
  return peer;
}

MeshPeer ParseWorkloadText(absl::string_view text) {
  MeshPeer peer;
  const std::array<std::string*, 5> parts = {&peer.workload, &peer.namespace_,
                                             &peer.canonical_service, &peer.canonical_revision,
                                             &peer.cluster};
  size_t i = 0;
  for (const absl::string_view part : absl::StrSplit(text, ';')) {
    if (i == parts.size()) break;
    *parts[i++] = std::string(part);
  }
  return peer;
}

MeshPeer PeerOf(const Workload& self) {
  return {.workload = self.name,
          .namespace_ = self.namespace_,
          .app = self.app,
          .version = self.version,
          .canonical_service = self.canonical_service.empty() ? self.name : self.canonical_service,
          .canonical_revision = self.canonical_revision,
          .cluster = self.cluster};
}

}  // namespace meltemi::proxy
