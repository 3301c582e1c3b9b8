// Beside base/protojson, which knows the same forms by other means: what one writes the other
// reads, for random objects of every kind.
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/protojson/decode.h"
#include "base/protojson/encode.h"
#include "base/random/random.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/codec/codec.h"
#include "kube/codec/pack.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/event.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/options.pb.h"
#include "kube/policy/v1/policy.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::util::MessageDifferencer;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  void Fill(Message* message, int depth) {
    if (FillForm(message)) return;
    const auto& type = *message->GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      const bool deep = field->message_type() != nullptr && depth <= 0;
      if (deep || random_.Below(3) != 0) continue;
      if (field->is_map()) {
        FillMap(message, field, depth);
      } else {
        const uint64_t count = field->is_repeated() ? 1 + random_.Below(3) : 1;
        for (uint64_t n = 0; n < count; ++n) Set(message, field, depth);
      }
    }
  }

 private:
  std::string Text() {
    static const std::vector<std::string> kTexts = {
        "a",  "", "with \"quotes\" and \\", "µ and \n\t\x01", "a text that is longer than eight",
        "</>"};
    return kTexts[random_.Below(kTexts.size())];
  }
  std::string Bytes() {
    std::string out;
    for (uint64_t n = random_.Below(5); n > 0; --n) out += static_cast<char>(random_.Below(256));
    return out;
  }

  void SetText(Message* message, int number, const std::string& text) {
    message->GetReflection()->SetString(message,
                                        message->GetDescriptor()->FindFieldByNumber(number), text);
  }
  void SetSeconds(Message* message, int32_t nanos) {
    const auto& type = *message->GetDescriptor();
    message->GetReflection()->SetInt64(message, type.FindFieldByNumber(1),
                                       static_cast<int64_t>(random_.Below(4'000'000'000)));
    message->GetReflection()->SetInt32(message, type.FindFieldByNumber(2), nanos);
  }

  bool FillForm(Message* message) {
    const Reflection& reflection = *message->GetReflection();
    const auto& type = *message->GetDescriptor();
    switch (type.options().GetExtension(json_form)) {
      case INT_OR_STRING: {
        const bool text = random_.Below(2) == 0;
        reflection.SetInt64(message, type.FindFieldByNumber(1), text ? 1 : 0);
        if (text) return SetText(message, 3, "50%"), true;
        reflection.SetInt32(message, type.FindFieldByNumber(2),
                            static_cast<int32_t>(random_.Next()));
        return true;
      }
      case RFC3339_TIME:
        return SetSeconds(message, 0), true;
      case MICRO_TIME:
        return SetSeconds(message, static_cast<int32_t>(random_.Below(1'000'000)) * 1000), true;
      case QUANTITY:
        return SetText(message, 1, "1500m"), true;
      case RAW_JSON:
        return SetText(message, 1, R"({"a":[1,"x",null,{"b":true}]})"), true;
      default:
        return false;
    }
  }

  void FillMap(Message* message, const FieldDescriptor* field, int depth) {
    for (const char* key : {"app", "a/b", "x\"y"}) {
      if (random_.Below(2) == 0) continue;
      Message* const entry = message->GetReflection()->AddMessage(message, field);
      const auto& type = *field->message_type();
      entry->GetReflection()->SetString(entry, type.map_key(), key);
      Set(entry, type.map_value(), depth);
    }
  }

  void Set(Message* message, const FieldDescriptor* f, int depth) {
    const Reflection& r = *message->GetReflection();
    const bool many = f->is_repeated();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: {
        const bool value = random_.Below(2) == 0;
        return many ? r.AddBool(message, f, value) : r.SetBool(message, f, value);
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const int32_t value = static_cast<int32_t>(random_.Next());
        return many ? r.AddInt32(message, f, value) : r.SetInt32(message, f, value);
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        const int64_t value = static_cast<int64_t>(random_.Next()) >> random_.Below(64);
        return many ? r.AddInt64(message, f, value) : r.SetInt64(message, f, value);
      }
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return r.SetDouble(message, f, random_.Unit());
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string text = f->type() == FieldDescriptor::TYPE_BYTES ? Bytes() : Text();
        return many ? r.AddString(message, f, std::move(text))
                    : r.SetString(message, f, std::move(text));
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(many ? r.AddMessage(message, f) : r.MutableMessage(message, f), depth - 1);
      default:
        FAIL() << f->full_name();
    }
  }

  FastRandom random_;
};

// An inlined message that was set without any of its fields can't be told from one that was not.
void DropEmptyInlined(Message* message) {
  const Reflection& reflection = *message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) continue;
    if (field->is_repeated()) {
      for (int i = 0; i < reflection.FieldSize(*message, field); ++i) {
        DropEmptyInlined(reflection.MutableRepeatedMessage(message, field, i));
      }
      continue;
    }
    Message* const inner = reflection.MutableMessage(message, field);
    DropEmptyInlined(inner);
    const bool inlined = field->options().GetExtension(kube::field).inlined();
    if (inlined && inner->ByteSizeLong() == 0) reflection.ClearField(message, field);
  }
}

std::vector<const Message*> Kinds() {
  return {&core::v1::Pod::default_instance(),
          &core::v1::Node::default_instance(),
          &core::v1::Service::default_instance(),
          &core::v1::Endpoints::default_instance(),
          &core::v1::Secret::default_instance(),
          &core::v1::ConfigMap::default_instance(),
          &core::v1::Event::default_instance(),
          &core::v1::Namespace::default_instance(),
          &apps::v1::Deployment::default_instance(),
          &apps::v1::StatefulSet::default_instance(),
          &apps::v1::DaemonSet::default_instance(),
          &apps::v1::ControllerRevision::default_instance(),
          &batch::v1::CronJob::default_instance(),
          &batch::v1::Job::default_instance(),
          &autoscaling::v2::HorizontalPodAutoscaler::default_instance(),
          &coordination::v1::Lease::default_instance(),
          &discovery::v1::EndpointSlice::default_instance(),
          &policy::v1::PodDisruptionBudget::default_instance()};
}

TEST(DifferentialTest, WhatProtojsonWritesIsReadAsItWas) {
  for (const Message* kind : Kinds()) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const std::unique_ptr<Message> object(kind->New()), read(kind->New());
      Generator(seed).Fill(object.get(), 12);
      DropEmptyInlined(object.get());
      const std::string text = protojson::ToJson(*object, {.indent = seed % 2 == 0 ? 2 : 0});
      const absl::Status status = FromJson(text, read.get(), {.keep_managed_fields = true});
      ASSERT_TRUE(status.ok()) << status << "\n" << text;
      ASSERT_TRUE(MessageDifferencer::Equals(*object, *read))
          << text << "\n"
          << protojson::ToJson(*read, {.indent = 2});
    }
  }
}

// Members that are always written make empty objects of what was not set: so the second writing
// counts.
TEST(DifferentialTest, WhatIsWrittenIsReadByProtojson) {
  for (const Message* kind : Kinds()) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const std::unique_ptr<Message> object(kind->New()), read(kind->New()), own(kind->New());
      Generator(seed).Fill(object.get(), 12);
      const std::string text = ToJson(*object);
      auto tree = json::Parse(text);
      ASSERT_TRUE(tree.ok()) << tree.status() << "\n" << text;
      EXPECT_TRUE(tree->Remove("apiVersion"));
      EXPECT_TRUE(tree->Remove("kind"));
      const absl::Status status =
          protojson::Decode(*tree, "text", read.get(), {.quoted_numbers = false});
      ASSERT_TRUE(status.ok()) << status << "\n" << text;
      EXPECT_EQ(ToJson(*read), text);
      ASSERT_TRUE(FromJson(text, own.get(), {.keep_managed_fields = true}).ok());
      ASSERT_TRUE(MessageDifferencer::Equals(*own, *read)) << text;
    }
  }
}

TEST(DifferentialTest, WhatIsPackedIsUnpackedAsItWas) {
  for (const Message* kind : Kinds()) {
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const std::unique_ptr<Message> object(kind->New()), unpacked(kind->New());
      Generator(seed).Fill(object.get(), 12);
      Unpack(Pack(*object), unpacked.get());
      ASSERT_TRUE(MessageDifferencer::Equals(*object, *unpacked)) << object->DebugString() << "\n"
                                                                  << unpacked->DebugString();
    }
  }
}

}  // namespace
}  // namespace meltemi::kube
