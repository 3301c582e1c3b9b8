#include "proxy/app/admin/redact.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace meltemi::proxy {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Part of each kind: "PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY" …
constexpr char kMark[] = "PRIVATE KEY-----";
constexpr char kRedacted[] = "[redacted]";

void RedactAny(google::protobuf::Any* any) {
  if (!absl::StrContains(any->value(), kMark)) return;
  const std::string& url = any->type_url();
  const auto* const type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
          url.substr(url.rfind('/') + 1));
  if (type != nullptr) {
    const std::unique_ptr<Message> inner(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (inner->ParseFromString(any->value())) {
      RedactPrivateKeys(inner.get());
      any->set_value(inner->SerializeAsString());
    }
  }
  // Unknown types, and fields that this build does not know.
  if (absl::StrContains(any->value(), kMark)) any->clear_value();
}

void RedactText(Message* message, const FieldDescriptor* field) {
  const Reflection& reflection = *message->GetReflection();
  if (!field->is_repeated()) {
    if (absl::StrContains(reflection.GetString(*message, field), kMark)) {
      reflection.SetString(message, field, kRedacted);
    }
    return;
  }
  for (int i = 0; i < reflection.FieldSize(*message, field); ++i) {
    if (absl::StrContains(reflection.GetRepeatedString(*message, field, i), kMark)) {
      reflection.SetRepeatedString(message, field, i, kRedacted);
    }
  }
}

}  // namespace

void RedactPrivateKeys(Message* message) {
  if (message->GetDescriptor() == google::protobuf::Any::descriptor()) {
    return RedactAny(static_cast<google::protobuf::Any*>(message));
  }
  const Reflection& reflection = *message->GetReflection();
  reflection.MutableUnknownFields(message)->Clear();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) RedactText(message, field);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      RedactPrivateKeys(reflection.MutableMessage(message, field));
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(*message, field); ++i) {
      RedactPrivateKeys(reflection.MutableRepeatedMessage(message, field, i));
    }
  }
}

}  // namespace meltemi::proxy
