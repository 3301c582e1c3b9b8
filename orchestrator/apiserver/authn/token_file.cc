// The static token file (--token-auth-file).
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/authn/chain.h"

namespace meltemi::apiserver {
namespace {

class TokenFileAuthenticator final : public Authenticator {
 public:
  explicit TokenFileAuthenticator(absl::flat_hash_map<std::string, UserInfo> users)
      : users_(std::move(users)) {}

  kube::Result<std::optional<Authenticated>> Authenticate(const Credentials& credentials) override {
    const auto at = users_.find(credentials.bearer_token);
    if (at == users_.end()) return std::optional<Authenticated>();
    return std::optional<Authenticated>(Authenticated{at->second, {}});
  }

 private:
  const absl::flat_hash_map<std::string, UserInfo> users_;
};

// RFC 4180 as Go reads it: fields in quotes may hold commas, line breaks, and quotes written twice.
class CsvReader {
 public:
  explicit CsvReader(absl::string_view text) : rest_(text) {}

  // False at the end of the text, or with `error` set.
  bool Next(std::vector<std::string>* record, int* line, std::string* error) {
    while (!rest_.empty() && (rest_[0] == '\n' || rest_[0] == '\r')) Take();
    if (rest_.empty()) return false;
    record->clear();
    *line = line_;
    for (;;) {
      record->push_back(!rest_.empty() && rest_[0] == '"' ? Quoted(error) : Plain(error));
      if (!error->empty()) return false;
      if (rest_.empty()) return true;
      const char separator = Take();
      if (separator == '\r' && !rest_.empty() && rest_[0] == '\n') Take();
      if (separator != ',') return true;
    }
  }

 private:
  char Take() {
    const char c = rest_[0];
    rest_.remove_prefix(1);
    if (c == '\n') ++line_;
    return c;
  }

  std::string Plain(std::string* error) {
    std::string out;
    while (!rest_.empty() && rest_[0] != ',' && rest_[0] != '\n' && rest_[0] != '\r') {
      if (rest_[0] == '"') *error = absl::StrCat("line ", line_, ": bare \" in non-quoted field");
      out.push_back(Take());
    }
    return out;
  }

  std::string Quoted(std::string* error) {
    const int first_line = line_;
    std::string out;
    Take();
    while (!rest_.empty()) {
      const char c = Take();
      if (c != '"') {
        out.push_back(c);
        continue;
      }
      if (rest_.empty() || rest_[0] != '"') {
        if (!rest_.empty() && rest_[0] != ',' && rest_[0] != '\n' && rest_[0] != '\r') {
          *error = absl::StrCat("line ", line_, ": extraneous or missing \" in quoted-field");
        }
        return out;
      }
      out.push_back(Take());
    }
    *error = absl::StrCat("line ", first_line, ": a quoted field does not end");
    return out;
  }

  absl::string_view rest_;
  int line_ = 1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Authenticator>> NewTokenFileAuthenticator(
    absl::string_view text, absl::string_view file_name) {
  absl::flat_hash_map<std::string, UserInfo> users;
  CsvReader reader(text);
  std::vector<std::string> record;
  std::string error;
  int line = 0;
  while (reader.Next(&record, &line, &error)) {
    if (record.size() < 3) {
      return absl::InvalidArgumentError(
          absl::StrCat("token file '", file_name,
                       "' must have at least 3 columns (token, user name, user uid), found ",
                       record.size(), " in line ", line));
    }
    if (record[0].empty()) continue;  // as in Kubernetes: nobody can send an empty token
    UserInfo user;
    user.name = record[1];
    user.uid = record[2];
    if (record.size() >= 4 && !record[3].empty()) user.groups = absl::StrSplit(record[3], ',');
    users[record[0]] = std::move(user);
  }
  if (!error.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("token file '", file_name, "': ", error));
  }
  return std::unique_ptr<Authenticator>(std::make_unique<TokenFileAuthenticator>(std::move(users)));
}

}  // namespace meltemi::apiserver
