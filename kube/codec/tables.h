// What the codec has to know of a message type, read from its descriptor once.
//
// Threads: immutable once made; TableOf is thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace meltemi::kube {

struct CodecTable;

enum class CodecForm : uint8_t {
  kObject,
  kIntOrString,
  kTime,
  kMicroTime,
  kRawJson,
  kQuantity,
  kGoDuration,
  kList,  // of one repeated field
};

// Of one value: of a list's items and of a map's values, too.
enum class CodecKind : uint8_t { kString, kBytes, kBool, kInt32, kInt64, kDouble, kMessage };

struct CodecField {
  const google::protobuf::FieldDescriptor* field = nullptr;
  CodecKind kind = CodecKind::kString;
  bool repeated = false, map = false, inlined = false;
  bool always = false;    // written even when it is empty
  bool presence = false;  // an empty scalar is written when it is set
  bool managed_fields = false;
  const CodecTable* table = nullptr;  // of messages
  std::string name;                   // "labels"
  std::string key;                    // "\"labels\":"
};

struct CodecTable {
  const google::protobuf::Descriptor* type = nullptr;
  CodecForm form = CodecForm::kObject;
  // `"apiVersion":"apps/v1","kind":"Deployment"`, or empty.
  std::string head;
  std::vector<CodecField> fields;  // by number

  // Where a member of the JSON object goes: to `field` of the message, or of one within it whose
  // fields are inlined.
  struct Target {
    std::vector<const google::protobuf::FieldDescriptor*> within;
    const CodecField* field = nullptr;
  };
  std::vector<Target> targets;
  // Into `targets`.
  absl::flat_hash_map<absl::string_view, uint16_t> by_name;
};

const CodecTable& TableOf(const google::protobuf::Descriptor& type);

}  // namespace meltemi::kube
