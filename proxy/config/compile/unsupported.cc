#include "proxy/config/compile/unsupported.h"

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/bytes/xxhash.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"

namespace meltemi::proxy {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kDepthMax = 32;

// What is said of one field name: nothing, itself, all below it, or some paths below it.
struct Allowance {
  bool self = false;
  bool all_below = false;
  std::vector<absl::string_view> below;
};

Allowance AllowanceFor(absl::string_view field, absl::Span<const absl::string_view> supported) {
  Allowance allowance;
  for (absl::string_view entry : supported) {
    if (entry == field) {
      allowance.self = true;
    } else if (absl::ConsumePrefix(&entry, field) && absl::ConsumePrefix(&entry, ".")) {
      if (entry == "**") {
        allowance.all_below = true;
      } else {
        allowance.below.push_back(entry);
      }
    }
  }
  return allowance;
}

std::string Join(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

class Checker {
 public:
  explicit Checker(absl::string_view where) : where_(where) {}

  // `supported` null: every known field is.
  absl::Status Check(const Message& message, const std::string& path,
                     const absl::Span<const absl::string_view>* supported, int depth) const {
    if (depth > kDepthMax) {
      return absl::InvalidArgumentError(absl::StrCat(where_, ": '", path, "' is nested too deep"));
    }
    const Reflection& reflection = *message.GetReflection();
    const auto& unknown = reflection.GetUnknownFields(message);
    if (!unknown.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          where_, ": unknown field number ", unknown.field(0).number(), " in '",
          path.empty() ? std::string(message.GetDescriptor()->full_name()) : path, "'"));
    }
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      absl::Status status = CheckField(message, *field, path, supported, depth);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckField(const Message& message, const FieldDescriptor& field,
                          const std::string& path,
                          const absl::Span<const absl::string_view>* supported, int depth) const {
    const std::string field_path = Join(path, field.name());
    if (supported == nullptr) return CheckBelow(message, field, field_path, nullptr, depth);
    const Allowance allowance = AllowanceFor(field.name(), *supported);
    if (allowance.all_below) return CheckBelow(message, field, field_path, nullptr, depth);
    if (!allowance.below.empty()) {
      const absl::Span<const absl::string_view> below = allowance.below;
      return CheckBelow(message, field, field_path, &below, depth);
    }
    if (allowance.self) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(where_, ": field '", field_path, "' is not supported"));
  }

  absl::Status CheckBelow(const Message& message, const FieldDescriptor& field,
                          const std::string& field_path,
                          const absl::Span<const absl::string_view>* supported, int depth) const {
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return absl::OkStatus();
    const Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) {
      return Check(reflection.GetMessage(message, &field), field_path, supported, depth + 1);
    }
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      const Message& element = reflection.GetRepeatedMessage(message, &field, i);
      const std::string element_path = absl::StrCat(field_path, "[", i, "]");
      absl::Status status = field.is_map() ? CheckMapEntry(element, element_path, supported, depth)
                                           : Check(element, element_path, supported, depth + 1);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // The allowance of a map speaks of its values.
  absl::Status CheckMapEntry(const Message& entry, const std::string& path,
                             const absl::Span<const absl::string_view>* supported,
                             int depth) const {
    const FieldDescriptor* value = entry.GetDescriptor()->map_value();
    if (value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return absl::OkStatus();
    return Check(entry.GetReflection()->GetMessage(entry, value), path, supported, depth + 1);
  }

  const absl::string_view where_;
};

}  // namespace

absl::Status CheckSupported(const Message& message, absl::string_view where,
                            absl::Span<const absl::string_view> supported) {
  return Checker(where).Check(message, "", &supported, 0);
}

std::string AnyTypeName(const google::protobuf::Any& any) {
  const std::string& url = any.type_url();
  const size_t slash = url.rfind('/');
  return slash == std::string::npos ? url : url.substr(slash + 1);
}

absl::Status UnpackAny(const google::protobuf::Any& any, absl::string_view where,
                       Message* message) {
  const std::string& wanted = message->GetDescriptor()->full_name();
  const std::string got = AnyTypeName(any);
  if (got != wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected type ", wanted, ", got ", got.empty() ? "none" : got));
  }
  if (!message->ParseFromString(any.value())) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", wanted, " can't be decoded"));
  }
  return absl::OkStatus();
}

uint64_t Fingerprint(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  const uint64_t hash = XxHash64(bytes);
  return hash == 0 ? 1 : hash;
}

}  // namespace meltemi::proxy
