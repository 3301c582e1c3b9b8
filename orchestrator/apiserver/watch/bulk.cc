#include "orchestrator/apiserver/watch/bulk.h"

#include <cstddef>

namespace meltemi::apiserver {
namespace {

constexpr size_t kBroken = absl::string_view::npos;

// The end of the string that begins at `at`.
size_t EndOfString(absl::string_view text, size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      return at + 1;
    }
  }
  return kBroken;
}

// The end of the value that begins at `at`. Whether it is well-formed is the parser's matter.
size_t EndOfValue(absl::string_view text, size_t at) {
  int depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = EndOfString(text, at);
      if (at == kBroken) return kBroken;
      if (depth == 0) return at;
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') {
      if (--depth == 0) return at + 1;
    }
    ++at;
  }
  return depth == 0 ? at : kBroken;
}

// Goes through the members of the object at `at`; `visit(key, begin, end, value_at)` may look at
// each: `key` with its quotes, [begin, end) the whole member. Returns the end of the object.
template <typename Visit>
size_t ForMembers(absl::string_view text, size_t at, const Visit& visit) {
  if (at >= text.size() || text[at] != '{') return kBroken;
  ++at;
  if (at < text.size() && text[at] == '}') return at + 1;
  while (at < text.size() && text[at] == '"') {
    const size_t key_end = EndOfString(text, at);
    if (key_end == kBroken || key_end >= text.size() || text[key_end] != ':') return kBroken;
    const size_t end = EndOfValue(text, key_end + 1);
    if (end == kBroken || end >= text.size()) return kBroken;
    if (!visit(text.substr(at, key_end - at), at, end, key_end + 1)) return kBroken;
    if (text[end] == '}') return end + 1;
    if (text[end] != ',') return kBroken;
    at = end + 1;
  }
  return kBroken;
}

void AppendMember(absl::string_view member, char open, std::string* out) {
  if (out->back() != open) out->push_back(',');
  out->append(member.data(), member.size());
}

}  // namespace

std::string WithoutBulk(absl::string_view object) {
  std::string out = "{";
  out.reserve(object.size() / 2);
  const size_t end =
      ForMembers(object, 0, [&](absl::string_view key, size_t begin, size_t end, size_t value_at) {
        const bool metadata = key == "\"metadata\"";
        if ((!metadata && key != "\"spec\"") || object[value_at] != '{') {
          AppendMember(object.substr(begin, end - begin), '{', &out);
          return true;
        }
        AppendMember(object.substr(begin, value_at - begin), '{', &out);
        out.push_back('{');
        const size_t inner_end =
            ForMembers(object, value_at,
                       [&](absl::string_view inner, size_t from, size_t to, size_t inner_value_at) {
                         const bool bulk =
                             metadata ? inner == "\"managedFields\"" || inner == "\"annotations\""
                                      : object[inner_value_at] == '[';
                         if (!bulk) AppendMember(object.substr(from, to - from), '{', &out);
                         return true;
                       });
        out.push_back('}');
        return inner_end == end;
      });
  if (end != object.size()) return std::string(object);
  out.push_back('}');
  return out;
}

}  // namespace meltemi::apiserver
