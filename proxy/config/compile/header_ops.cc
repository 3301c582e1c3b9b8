#include "proxy/config/compile/header_ops.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/observe/format.h"

namespace meltemi::proxy {
namespace {

namespace core_v3 = envoy::config::core::v3;

constexpr absl::string_view kPseudo[] = {":path", ":authority", ":method", ":scheme"};

bool IsToken(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("!#$%&'*+-.^_`|~", absl::string_view(&c, 1));
  });
}

bool IsValue(absl::string_view value) {
  return std::none_of(value.begin(), value.end(),
                      [](char c) { return c == '\0' || c == '\r' || c == '\n'; });
}

absl::StatusOr<HeaderOps::Append> AppendOf(const core_v3::HeaderValueOption& option,
                                           absl::string_view where) {
  using Option = core_v3::HeaderValueOption;
  if (option.has_append()) {
    if (option.append_action() != Option::APPEND_IF_EXISTS_OR_ADD) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": 'append' and 'append_action' are both set"));
    }
    return option.append().value() ? HeaderOps::Append::kAppendOrAdd
                                   : HeaderOps::Append::kOverwriteOrAdd;
  }
  switch (option.append_action()) {
    case Option::APPEND_IF_EXISTS_OR_ADD:
      return HeaderOps::Append::kAppendOrAdd;
    case Option::ADD_IF_ABSENT:
      return HeaderOps::Append::kAddIfAbsent;
    case Option::OVERWRITE_IF_EXISTS_OR_ADD:
      return HeaderOps::Append::kOverwriteOrAdd;
    case Option::OVERWRITE_IF_EXISTS:
      return HeaderOps::Append::kOverwriteIfExists;
    default:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": append_action ", static_cast<int>(option.append_action()), " is not supported"));
}

absl::StatusOr<HeaderOps::Addition> CompileAddition(const core_v3::HeaderValueOption& option,
                                                    absl::string_view where, bool request,
                                                    const FormatEnvironment& environment) {
  RETURN_IF_ERROR(CheckSupported(option, where,
                                 {"header.key", "header.value", "header.raw_value", "append",
                                  "append_action", "keep_empty_value"}));
  HeaderOps::Addition addition;
  addition.name = absl::AsciiStrToLower(option.header().key());
  if (request && addition.name == "host") addition.name = ":authority";
  const bool pseudo =
      std::find(std::begin(kPseudo), std::end(kPseudo), addition.name) != std::end(kPseudo);
  if (!(request && pseudo) && !IsToken(addition.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": header name \"", option.header().key(), "\" can't be set"));
  }
  const std::string& value =
      option.header().raw_value().empty() ? option.header().value() : option.header().raw_value();
  if (!IsValue(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": the value of \"", addition.name, "\" has a line break or NUL"));
  }
  ASSIGN_OR_RETURN(addition.append, AppendOf(option, where));
  addition.keep_empty = option.keep_empty_value();
  auto format = Format::Compile(value, /*omit_empty=*/true, environment);
  if (!format.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": header \"", addition.name, "\": ", format.status().message()));
  }
  if ((*format)->is_literal()) {
    addition.literal = (*format)->literal();
  } else {
    addition.format = *std::move(format);
  }
  return addition;
}

}  // namespace

absl::StatusOr<HeaderOps> CompileHeaderOps(
    const google::protobuf::RepeatedPtrField<core_v3::HeaderValueOption>& add,
    const google::protobuf::RepeatedPtrField<std::string>& remove, absl::string_view where,
    absl::string_view field, const FormatEnvironment& environment) {
  HeaderOps ops;
  const bool request = absl::StartsWith(field, "request");
  for (int i = 0; i < add.size(); ++i) {
    ASSIGN_OR_RETURN(HeaderOps::Addition addition,
                     CompileAddition(add[i], absl::StrCat(where, ": ", field, "_to_add[", i, "]"),
                                     request, environment));
    ops.add.push_back(std::move(addition));
  }
  for (const std::string& name : remove) {
    ops.remove.push_back(absl::AsciiStrToLower(name));
    if (!IsToken(ops.remove.back()) || ops.remove.back() == "host") {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": ", field, "_to_remove: \"", name, "\" can't be removed"));
    }
  }
  return ops;
}

}  // namespace meltemi::proxy
