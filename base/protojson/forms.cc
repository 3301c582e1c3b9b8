#include "base/protojson/forms.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>

namespace meltemi::protojson {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldOptions;
using google::protobuf::Message;
using google::protobuf::MessageOptions;

// Looked up by name: base/ may not depend on api/, which defines the options. Null in a program
// that has no Kubernetes kinds.
const FieldDescriptor* KubeOption(const char* name) {
  return DescriptorPool::generated_pool()->FindExtensionByName(name);
}

Form KubeForm(const Descriptor& type) {
  static const FieldDescriptor* const option = KubeOption("meltemi.kube.json_form");
  const MessageOptions& options = type.options();
  if (option == nullptr || !options.GetReflection()->HasField(options, option)) {
    return Form::kObject;
  }
  const std::string& form = options.GetReflection()->GetEnum(options, option)->name();
  if (form == "INT_OR_STRING") return Form::kIntOrString;
  if (form == "RFC3339_TIME") return Form::kKubeTime;
  if (form == "MICRO_TIME") return Form::kMicroTime;
  if (form == "QUANTITY") return Form::kQuantity;
  if (form == "RAW_JSON") return Form::kRawJson;
  return Form::kObject;
}

}  // namespace

Form FormOf(const Descriptor& type) {
  switch (type.well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_ANY:
      return Form::kAny;
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return Form::kDuration;
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return Form::kTimestamp;
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
      return Form::kFieldMask;
    case Descriptor::WELLKNOWNTYPE_STRUCT:
      return Form::kStruct;
    case Descriptor::WELLKNOWNTYPE_VALUE:
      return Form::kValue;
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      return Form::kListValue;
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
      return KubeForm(type);
    default:
      return Form::kWrapper;
  }
}

bool IsPartial(const Descriptor& type) {
  static const FieldDescriptor* const option = KubeOption("meltemi.kube.partial");
  const MessageOptions& options = type.options();
  return option != nullptr && options.GetReflection()->GetBool(options, option);
}

bool IsInlined(const FieldDescriptor& field) {
  static const FieldDescriptor* const option = KubeOption("meltemi.kube.field");
  const FieldOptions& options = field.options();
  if (option == nullptr || !options.GetReflection()->HasField(options, option)) return false;
  const Message& rule = options.GetReflection()->GetMessage(options, option);
  const FieldDescriptor* inlined = rule.GetDescriptor()->FindFieldByName("inlined");
  return inlined != nullptr && rule.GetReflection()->GetBool(rule, inlined);
}

}  // namespace meltemi::protojson
