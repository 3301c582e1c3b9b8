#include "base/protojson/unknown_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include "absl/strings/str_cat.h"

namespace meltemi::protojson {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void Collect(const Message& message, const std::string& path, std::vector<std::string>* found) {
  const Reflection* reflection = message.GetReflection();
  const auto& unknown = reflection->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    found->push_back(absl::StrCat(path, path.empty() ? "" : ": ", "field ",
                                  unknown.field(i).number(), " of ",
                                  message.GetDescriptor()->full_name()));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const std::string below = absl::StrCat(path, path.empty() ? "" : ".", field->name());
    if (!field->is_repeated()) {
      Collect(reflection->GetMessage(message, field), below, found);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      Collect(reflection->GetRepeatedMessage(message, field, i), absl::StrCat(below, "[", i, "]"),
              found);
    }
  }
}

}  // namespace

std::vector<std::string> UnknownFields(const Message& message) {
  std::vector<std::string> found;
  Collect(message, "", &found);
  return found;
}

}  // namespace meltemi::protojson
