#include "kube/codec/tables.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <memory>
#include <shared_mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/resource.h"
#include "kube/options.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

CodecForm FormOf(const Descriptor& type) {
  switch (type.options().GetExtension(json_form)) {
    case INT_OR_STRING:
      return CodecForm::kIntOrString;
    case RFC3339_TIME:
      return CodecForm::kTime;
    case MICRO_TIME:
      return CodecForm::kMicroTime;
    case RAW_JSON:
      return CodecForm::kRawJson;
    case QUANTITY:
      return CodecForm::kQuantity;
    case GO_DURATION:
      return CodecForm::kGoDuration;
    case LIST:
      return CodecForm::kList;
    case OBJECT:
      return CodecForm::kObject;
    default:  // JSON schemas have no typed form
      CHECK(false && "a message that the codec does not know how to write");
  }
}

CodecKind KindOf(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_STRING:
      return CodecKind::kString;
    case FieldDescriptor::TYPE_BYTES:
      return CodecKind::kBytes;
    case FieldDescriptor::TYPE_BOOL:
      return CodecKind::kBool;
    case FieldDescriptor::TYPE_INT32:
      return CodecKind::kInt32;
    case FieldDescriptor::TYPE_INT64:
      return CodecKind::kInt64;
    case FieldDescriptor::TYPE_DOUBLE:
      return CodecKind::kDouble;
    case FieldDescriptor::TYPE_MESSAGE:
      return CodecKind::kMessage;
    default:
      CHECK(false && "a field of a type that Kubernetes' kinds do not have");
  }
}

// "kube/apps/v1/apps.proto": the kinds that are not served, but written with apiVersion and kind
// (DeleteOptions), are those of their package as well.
std::string HeadOf(const Descriptor& type) {
  std::string api_version;
  if (type.options().HasExtension(resource)) {
    api_version = ResourceOf(type).group_version_kind().ApiVersion();
  } else if (type.options().GetExtension(object)) {
    const absl::string_view package = type.file()->package();
    api_version = std::string(package.substr(package.rfind('.') + 1));
  } else {
    return "";
  }
  return absl::StrCat("\"apiVersion\":\"", api_version, "\",\"kind\":\"", type.name(), "\"");
}

class Tables {
 public:
  const CodecTable& Of(const Descriptor& type) {
    {
      const std::shared_lock<std::shared_mutex> lock(mutex_);
      const auto at = tables_.find(&type);
      if (at != tables_.end()) return *at->second;
    }
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    return Make(type);
  }

 private:
  // With those of all messages in it: types may contain themselves.
  const CodecTable& Make(const Descriptor& type) {
    std::unique_ptr<CodecTable>& at = tables_[&type];
    if (at != nullptr) return *at;
    at = std::make_unique<CodecTable>();
    CodecTable& table = *at;  // `at` itself moves when the map grows
    table.type = &type;
    table.form = FormOf(type);
    table.head = HeadOf(type);
    std::vector<const FieldDescriptor*> by_number;
    for (int i = 0; i < type.field_count(); ++i) by_number.push_back(type.field(i));
    std::sort(by_number.begin(), by_number.end(),
              [](const auto* a, const auto* b) { return a->number() < b->number(); });
    for (const FieldDescriptor* field : by_number) table.fields.push_back(MakeField(*field));
    Index(table, {}, &table);
    return table;
  }

  CodecField MakeField(const FieldDescriptor& field) {
    const FieldRule& rule = field.options().GetExtension(kube::field);
    const FieldDescriptor& value = field.is_map() ? *field.message_type()->map_value() : field;
    CodecField out{.field = &field,
                   .kind = KindOf(value),
                   .repeated = field.is_repeated() && !field.is_map(),
                   .map = field.is_map(),
                   .inlined = rule.inlined(),
                   .always = rule.always(),
                   .presence = field.has_presence(),
                   .name = field.json_name()};
    out.managed_fields = out.repeated && out.name == "managedFields";
    out.key = absl::StrCat("\"", out.name, "\":");
    if (out.kind == CodecKind::kMessage) out.table = &Make(*value.message_type());
    return out;
  }

  static void Index(const CodecTable& from, std::vector<const FieldDescriptor*> within,
                    CodecTable* table) {
    for (const CodecField& field : from.fields) {
      if (!field.inlined) {
        if (!table->by_name.emplace(field.name, table->targets.size()).second) continue;
        table->targets.push_back({within, &field});
        continue;
      }
      std::vector<const FieldDescriptor*> deeper = within;
      deeper.push_back(field.field);
      Index(*field.table, std::move(deeper), table);
    }
  }

  std::shared_mutex mutex_;
  absl::flat_hash_map<const Descriptor*, std::unique_ptr<CodecTable>> tables_;
};

}  // namespace

const CodecTable& TableOf(const Descriptor& type) {
  static Tables& tables = *new Tables;  // never destroyed: descriptors are not either
  return tables.Of(type);
}

}  // namespace meltemi::kube
