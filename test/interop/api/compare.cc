#include "test/interop/api/compare.h"

#include <google/protobuf/descriptor.pb.h>

#include "absl/strings/str_cat.h"

namespace meltemi::interop {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::OneofDescriptor;
using google::protobuf::ServiceDescriptor;

class Comparison {
 public:
  Comparison(const DescriptorPool& official, const CompareOptions& options, Compared* result)
      : official_(official), options_(options), result_(*result) {}

  void Message(const Descriptor& ours);
  void Enum(const EnumDescriptor& ours);
  void Service(const ServiceDescriptor& ours);

 private:
  void Field(const FieldDescriptor& ours, const Descriptor& official);
  void Expect(const std::string& where, const std::string& what, const std::string& ours,
              const std::string& official) {
    if (ours != official) {
      result_.differences.push_back(
          absl::StrCat(where, ": ", what, " is ", ours, ", officially ", official));
    }
  }
  // What a field holds, in official names.
  std::string TypeOf(const FieldDescriptor& field, bool is_ours) const;

  const DescriptorPool& official_;
  const CompareOptions& options_;
  Compared& result_;
};

std::string Comparison::TypeOf(const FieldDescriptor& field, bool is_ours) const {
  const std::string label = field.is_repeated() ? "repeated " : "";
  if (field.is_map()) {
    return absl::StrCat("map<", TypeOf(*field.message_type()->map_key(), is_ours), ", ",
                        TypeOf(*field.message_type()->map_value(), is_ours), ">");
  }
  const auto name = [&](const std::string& own) {
    return is_ours ? options_.official_name(own) : own;
  };
  if (field.message_type() != nullptr) {
    return absl::StrCat(label, name(field.message_type()->full_name()));
  }
  if (field.enum_type() != nullptr) {
    return absl::StrCat(label, name(field.enum_type()->full_name()));
  }
  return absl::StrCat(label, field.type_name());
}

void Comparison::Message(const Descriptor& ours) {
  const Descriptor* official =
      official_.FindMessageTypeByName(options_.official_name(ours.full_name()));
  if (official == nullptr) {
    result_.differences.push_back(absl::StrCat(ours.full_name(), ": no such message officially"));
    return;
  }
  ++result_.messages;
  for (int i = 0; i < ours.field_count(); ++i) Field(*ours.field(i), *official);
  for (int i = 0; i < ours.nested_type_count(); ++i) {
    if (!ours.nested_type(i)->options().map_entry()) Message(*ours.nested_type(i));
  }
  for (int i = 0; i < ours.enum_type_count(); ++i) Enum(*ours.enum_type(i));
}

void Comparison::Field(const FieldDescriptor& ours, const Descriptor& official) {
  ++result_.fields;
  const std::string& where = ours.full_name();
  const FieldDescriptor* theirs = official.FindFieldByNumber(ours.number());
  if (theirs == nullptr) {
    result_.differences.push_back(
        absl::StrCat(where, ": there is no field ", ours.number(), " officially"));
    return;
  }
  if (options_.names) {
    Expect(where, "the name", ours.name(), theirs->name());
    Expect(where, "the JSON name", ours.json_name(), theirs->json_name());
    const OneofDescriptor* our_oneof = ours.containing_oneof();
    const OneofDescriptor* their_oneof = theirs->containing_oneof();
    Expect(where, "the oneof", our_oneof == nullptr ? "none" : our_oneof->name(),
           their_oneof == nullptr ? "none" : their_oneof->name());
    Expect(where, "presence", ours.has_presence() ? "explicit" : "implicit",
           theirs->has_presence() ? "explicit" : "implicit");
  }
  Expect(where, "the type", TypeOf(ours, true), TypeOf(*theirs, false));
}

void Comparison::Enum(const EnumDescriptor& ours) {
  const EnumDescriptor* official =
      official_.FindEnumTypeByName(options_.official_name(ours.full_name()));
  if (official == nullptr) {
    result_.differences.push_back(absl::StrCat(ours.full_name(), ": no such enum officially"));
    return;
  }
  Expect(ours.full_name(), "the number of values", absl::StrCat(ours.value_count()),
         absl::StrCat(official->value_count()));
  for (int i = 0; i < official->value_count(); ++i) {
    ++result_.enum_values;
    const auto* value = ours.FindValueByName(official->value(i)->name());
    Expect(ours.full_name(), official->value(i)->name(),
           value == nullptr ? "missing" : absl::StrCat(value->number()),
           absl::StrCat(official->value(i)->number()));
  }
}

std::string Signature(const MethodDescriptor& method) {
  return absl::StrCat(method.client_streaming() ? "stream " : "", method.input_type()->full_name(),
                      " -> ", method.server_streaming() ? "stream " : "",
                      method.output_type()->full_name());
}

void Comparison::Service(const ServiceDescriptor& ours) {
  const ServiceDescriptor* official = official_.FindServiceByName(ours.full_name());
  for (int i = 0; i < ours.method_count(); ++i) {
    ++result_.methods;
    const MethodDescriptor* method =
        official == nullptr ? nullptr : official->FindMethodByName(ours.method(i)->name());
    Expect(ours.method(i)->full_name(), "the signature", Signature(*ours.method(i)),
           method == nullptr ? "missing" : Signature(*method));
  }
}

}  // namespace

void Compare(const FileDescriptor& ours, const DescriptorPool& official,
             const CompareOptions& options, Compared* result) {
  Comparison comparison(official, options, result);
  for (int i = 0; i < ours.message_type_count(); ++i) comparison.Message(*ours.message_type(i));
  for (int i = 0; i < ours.enum_type_count(); ++i) comparison.Enum(*ours.enum_type(i));
  for (int i = 0; i < ours.service_count(); ++i) comparison.Service(*ours.service(i));
}

}  // namespace meltemi::interop
