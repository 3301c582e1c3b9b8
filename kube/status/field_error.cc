#include "kube/status/field_error.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/json/utf8.h"
#include "base/json/write.h"

namespace meltemi::kube {
namespace {

std::string Printed(const json::Value& value) {
  if (value.is_string()) return GoQuote(value.text());
  return json::ToString(value);
}

absl::string_view TypeText(FieldError::Type type) {
  switch (type) {
    case FieldError::Type::kNotFound:
      return "Not found";
    case FieldError::Type::kRequired:
      return "Required value";
    case FieldError::Type::kDuplicate:
      return "Duplicate value";
    case FieldError::Type::kInvalid:
    case FieldError::Type::kTypeInvalid:
      return "Invalid value";
    case FieldError::Type::kNotSupported:
      return "Unsupported value";
    case FieldError::Type::kForbidden:
      return "Forbidden";
    case FieldError::Type::kTooLong:
      return "Too long";
    case FieldError::Type::kTooMany:
      return "Too many";
    case FieldError::Type::kInternal:
      return "Internal error";
  }
  return "";
}

bool PrintsValue(FieldError::Type type) {
  return type != FieldError::Type::kRequired && type != FieldError::Type::kForbidden &&
         type != FieldError::Type::kTooLong && type != FieldError::Type::kInternal;
}

FieldError Make(FieldError::Type type, const FieldPath& path, std::string bad_value,
                absl::string_view detail) {
  return {type, path.text(), std::move(bad_value), std::string(detail)};
}

// Code points that Go's strconv writes as escapes although they are valid UTF-8: C1 controls, the
// soft hyphen, other spaces than U+0020, zero-width and direction marks, the byte-order mark,
// private use and non-characters at the ends of the planes.
bool Unprintable(uint32_t point) {
  if (point >= 0x80 && point <= 0xA0) return true;
  if (point == 0xAD || point == 0x1680 || point == 0x3000 || point == 0xFEFF) return true;
  if (point >= 0x2000 && point <= 0x200F) return true;
  if (point >= 0x2028 && point <= 0x202F) return true;
  if (point >= 0x205F && point <= 0x206F) return true;
  if (point >= 0xE000 && point <= 0xF8FF) return true;
  return (point & 0xFFFE) == 0xFFFE || point >= 0xE0000;
}

uint32_t Decode(absl::string_view sequence) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(sequence[i]); };
  uint32_t point = byte(0) & (0xFF >> (sequence.size() + 1));
  for (size_t i = 1; i < sequence.size(); ++i) point = (point << 6) | (byte(i) & 0x3F);
  return point;
}

void AppendAscii(char c, std::string* out) {
  static constexpr absl::string_view kNames = "\a\b\f\n\r\t\v\\\"";
  static constexpr absl::string_view kLetters = "abfnrtv\\\"";
  const size_t named = kNames.find(c);
  if (named != absl::string_view::npos) {
    absl::StrAppend(out, "\\", kLetters.substr(named, 1));
  } else if (c < 0x20 || c == 0x7F) {
    absl::StrAppendFormat(out, "\\x%02x", static_cast<unsigned>(c));
  } else {
    out->push_back(c);
  }
}

}  // namespace

std::string GoQuote(absl::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = json::Utf8SequenceLength(text);
    if (length == 0) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(text[0])));
      text.remove_prefix(1);
      continue;
    }
    if (length == 1) {
      AppendAscii(text[0], &out);
    } else {
      const uint32_t point = Decode(text.substr(0, length));
      if (!Unprintable(point)) {
        absl::StrAppend(&out, text.substr(0, length));
      } else if (point > 0xFFFF) {
        absl::StrAppendFormat(&out, "\\U%08x", point);
      } else {
        absl::StrAppendFormat(&out, "\\u%04x", point);
      }
    }
    text.remove_prefix(length);
  }
  out.push_back('"');
  return out;
}

FieldPath FieldPath::Child(absl::string_view name) const {
  return FieldPath(text_.empty() ? std::string(name) : absl::StrCat(text_, ".", name));
}

FieldPath FieldPath::Index(size_t index) const {
  return FieldPath(absl::StrCat(text_, "[", index, "]"));
}

FieldPath FieldPath::Key(absl::string_view key) const {
  return FieldPath(absl::StrCat(text_, "[", key, "]"));
}

std::string FieldError::ToString() const { return absl::StrCat(field, ": ", Body()); }

std::string FieldError::Body() const {
  std::string out(TypeText(type));
  if (PrintsValue(type) && !bad_value.empty()) absl::StrAppend(&out, ": ", bad_value);
  if (!detail.empty()) absl::StrAppend(&out, ": ", detail);
  return out;
}

absl::string_view FieldError::Reason() const {
  switch (type) {
    case Type::kNotFound:
      return "FieldValueNotFound";
    case Type::kRequired:
      return "FieldValueRequired";
    case Type::kDuplicate:
      return "FieldValueDuplicate";
    case Type::kInvalid:
      return "FieldValueInvalid";
    case Type::kNotSupported:
      return "FieldValueNotSupported";
    case Type::kForbidden:
      return "FieldValueForbidden";
    case Type::kTooLong:
      return "FieldValueTooLong";
    case Type::kTooMany:
      return "FieldValueTooMany";
    case Type::kInternal:
      return "InternalError";
    case Type::kTypeInvalid:
      return "FieldValueTypeInvalid";
  }
  return "";
}

FieldError Required(const FieldPath& path, absl::string_view detail) {
  return Make(FieldError::Type::kRequired, path, "", detail);
}

FieldError InvalidField(const FieldPath& path, const json::Value& value, absl::string_view detail) {
  return Make(FieldError::Type::kInvalid, path, Printed(value), detail);
}

FieldError InvalidField(const FieldPath& path, absl::string_view text, absl::string_view detail) {
  return Make(FieldError::Type::kInvalid, path, GoQuote(text), detail);
}

FieldError InvalidField(const FieldPath& path, int64_t number, absl::string_view detail) {
  return Make(FieldError::Type::kInvalid, path, absl::StrCat(number), detail);
}

FieldError NotSupported(const FieldPath& path, const json::Value& value,
                        std::vector<std::string> supported) {
  std::string detail;
  if (!supported.empty()) {
    detail =
        absl::StrCat("supported values: ",
                     absl::StrJoin(supported, ", ", [](std::string* out, const std::string& one) {
                       absl::StrAppend(out, GoQuote(one));
                     }));
  }
  return Make(FieldError::Type::kNotSupported, path, Printed(value), detail);
}

FieldError DuplicateField(const FieldPath& path, const json::Value& value) {
  return Make(FieldError::Type::kDuplicate, path, Printed(value), "");
}

FieldError FieldNotFound(const FieldPath& path, const json::Value& value) {
  return Make(FieldError::Type::kNotFound, path, Printed(value), "");
}

FieldError ForbiddenField(const FieldPath& path, absl::string_view detail) {
  return Make(FieldError::Type::kForbidden, path, "", detail);
}

FieldError TooLong(const FieldPath& path, size_t bytes_max) {
  return Make(FieldError::Type::kTooLong, path, "",
              absl::StrCat("may not be more than ", bytes_max, " bytes"));
}

FieldError TooMany(const FieldPath& path, size_t count, size_t count_max) {
  return Make(FieldError::Type::kTooMany, path, absl::StrCat(count),
              absl::StrCat("must have at most ", count_max, " items"));
}

FieldError TypeInvalid(const FieldPath& path, const json::Value& value, absl::string_view detail) {
  return Make(FieldError::Type::kTypeInvalid, path, Printed(value), detail);
}

std::string JoinErrors(const FieldErrors& errors) {
  std::set<std::string> seen;
  std::vector<std::string> texts;
  for (const FieldError& error : errors) {
    std::string text = error.ToString();
    if (seen.insert(text).second) texts.push_back(std::move(text));
  }
  if (texts.size() == 1) return texts[0];
  return absl::StrCat("[", absl::StrJoin(texts, ", "), "]");
}

}  // namespace meltemi::kube
