#include "test/interop/api/proto_source.h"

#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::interop {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

// Keeps what the wire and C++ depend on.
template <typename Options>
Options Essential(const Options& options) {
  Options kept;
  if constexpr (std::is_same_v<Options, google::protobuf::EnumOptions>) {
    for (const auto& option : options.uninterpreted_option()) {
      if (option.name(0).name_part() == "allow_alias") kept.set_allow_alias(true);
    }
  }
  return kept;
}

void StripOptions(EnumDescriptorProto* type) {
  *type->mutable_options() = Essential(type->options());
  for (auto& value : *type->mutable_value()) value.clear_options();
}

void StripOptions(DescriptorProto* type) {
  const bool map_entry = type->options().map_entry();
  type->clear_options();
  if (map_entry) type->mutable_options()->set_map_entry(true);
  for (auto& field : *type->mutable_field()) field.clear_options();
  for (auto& oneof : *type->mutable_oneof_decl()) oneof.clear_options();
  for (auto& nested : *type->mutable_nested_type()) StripOptions(&nested);
  for (auto& nested : *type->mutable_enum_type()) StripOptions(&nested);
  type->clear_extension();
}

void StripOptions(FileDescriptorProto* file) {
  file->clear_options();
  file->clear_extension();
  for (auto& type : *file->mutable_message_type()) StripOptions(&type);
  for (auto& type : *file->mutable_enum_type()) StripOptions(&type);
  for (auto& service : *file->mutable_service()) {
    service.clear_options();
    for (auto& method : *service.mutable_method()) method.clear_options();
  }
}

class Collector : public google::protobuf::io::ErrorCollector,
                  public google::protobuf::DescriptorPool::ErrorCollector {
 public:
  Collector(std::string path, std::vector<std::string>* errors)
      : path_(std::move(path)), errors_(*errors) {}
  void AddError(int line, int, const std::string& message) override {
    errors_.push_back(absl::StrCat(path_, ":", line + 1, ": ", message));
  }
  void AddError(const std::string&, const std::string& element, const google::protobuf::Message*,
                ErrorLocation, const std::string& message) override {
    errors_.push_back(absl::StrCat(path_, ": ", element, ": ", message));
  }

 private:
  const std::string path_;
  std::vector<std::string>& errors_;
};

}  // namespace

ProtoSource::ProtoSource(Roots roots)
    : roots_(std::move(roots)), pool_(std::make_unique<google::protobuf::DescriptorPool>()) {}

ProtoSource::~ProtoSource() = default;

const google::protobuf::DescriptorPool& ProtoSource::pool() const { return *pool_; }

bool ProtoSource::Add(const std::string& path, bool required) {
  if (!added_.insert(path).second) return true;
  std::optional<std::string> text;
  for (const auto& [prefix, folder] : roots_) {
    if (!absl::StartsWith(path, prefix)) continue;
    text = ReadFile(absl::StrCat(folder, "/", path.substr(prefix.size())));
    if (text.has_value()) break;
  }
  FileDescriptorProto file;
  Collector collector(path, &errors_);
  if (text.has_value()) {
    google::protobuf::io::ArrayInputStream stream(text->data(), static_cast<int>(text->size()));
    google::protobuf::io::Tokenizer tokenizer(&stream, &collector);
    google::protobuf::compiler::Parser parser;
    parser.RecordErrorsTo(&collector);
    if (!parser.Parse(&tokenizer, &file)) return false;
    StripOptions(&file);
  } else if (required) {
    errors_.push_back(absl::StrCat(path, ": no such file"));
    return false;
  }
  file.set_name(path);
  for (const std::string& import : file.dependency()) {
    if (!Add(import, false)) return false;
  }
  return pool_->BuildFileCollectingErrors(file, &collector) != nullptr;
}

const google::protobuf::FileDescriptor* ProtoSource::Load(const std::string& path) {
  return Add(path, true) ? pool_->FindFileByName(path) : nullptr;
}

}  // namespace meltemi::interop
