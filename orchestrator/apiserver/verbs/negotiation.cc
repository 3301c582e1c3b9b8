#include "orchestrator/apiserver/verbs/negotiation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::apiserver {
namespace {

constexpr absl::string_view kJson = "application/json";
constexpr absl::string_view kYaml = "application/yaml";
constexpr size_t kClausesMax = 64;

struct Clause {
  std::string type;  // "application/json", "*/*"
  std::map<std::string, std::string> parameters;
  double quality = 1;
};

Clause ParseClause(absl::string_view text) {
  Clause clause;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ';');
  clause.type = absl::AsciiStrToLower(absl::StripAsciiWhitespace(parts[0]));
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    const std::string key = absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair.first));
    absl::string_view value = absl::StripAsciiWhitespace(pair.second);
    if (absl::ConsumePrefix(&value, "\"")) absl::ConsumeSuffix(&value, "\"");
    if (key == "q") {
      if (!absl::SimpleAtod(value, &clause.quality)) clause.quality = 1;
    } else if (!key.empty()) {
      clause.parameters[key] = std::string(value);
    }
  }
  return clause;
}

// Best first; equal ones as they were sent.
std::vector<Clause> ParseAccept(absl::string_view header) {
  std::vector<Clause> clauses;
  for (const absl::string_view text : absl::StrSplit(header, ',', absl::SkipWhitespace())) {
    if (clauses.size() == kClausesMax) break;
    clauses.push_back(ParseClause(text));
  }
  std::stable_sort(clauses.begin(), clauses.end(),
                   [](const Clause& a, const Clause& b) { return a.quality > b.quality; });
  return clauses;
}

std::string Parameter(const Clause& clause, const std::string& key) {
  const auto found = clause.parameters.find(key);
  return found == clause.parameters.end() ? "" : found->second;
}

// nullopt: this clause asks for what there is not.
std::optional<Representation> Accepts(const Clause& clause) {
  Representation out;
  if (clause.quality <= 0) return std::nullopt;
  if (clause.type == kYaml) {
    out.yaml = true;
  } else if (clause.type != kJson && clause.type != "application/*" && clause.type != "*/*") {
    return std::nullopt;
  }
  const std::string stream = Parameter(clause, "stream");
  if (!stream.empty() && stream != "watch") return std::nullopt;
  const std::string server_version = Parameter(clause, "sv");
  if (!server_version.empty() && server_version != "v1") return std::nullopt;
  out.pretty = Parameter(clause, "pretty") == "1";
  const std::string as = Parameter(clause, "as");
  const std::string group = Parameter(clause, "g");
  out.meta_version = Parameter(clause, "v");
  if (as.empty() && group.empty() && out.meta_version.empty()) {
    out.meta_version = "v1";
    return out;
  }
  if (group != "meta.k8s.io" || (out.meta_version != "v1" && out.meta_version != "v1beta1")) {
    return std::nullopt;
  }
  if (as == "Table") {
    out.shape = Representation::Shape::kTable;
  } else if (as == "PartialObjectMetadata") {
    out.shape = Representation::Shape::kPartial;
  } else if (as == "PartialObjectMetadataList") {
    out.shape = Representation::Shape::kPartialList;
  } else {
    return std::nullopt;
  }
  return out;
}

// People with a browser or curl get indented answers.
bool WantsPretty(const Request& request) {
  if (const std::optional<std::string> pretty = request.query.Get("pretty")) {
    if (!pretty->empty()) {
      const kube::Result<bool> value = request.query.Bool("pretty");
      return value.ok() && *value;
    }
  }
  const absl::string_view agent = request.Header("user-agent");
  return absl::StartsWith(agent, "curl") || absl::StartsWith(agent, "Wget") ||
         absl::StartsWith(agent, "Mozilla/5.0");
}

kube::Status NotAccepted(const std::vector<std::string>& supported) {
  return kube::NotAcceptable(absl::StrCat("only the following media types are accepted: ",
                                          absl::StrJoin(supported, ", ")));
}

kube::Result<Representation> Negotiate(const Request& request, bool watch) {
  const absl::string_view header = request.Header("accept");
  std::optional<Representation> found;
  if (header.empty()) found = Representation();
  if (!found.has_value()) {
    for (const Clause& clause : ParseAccept(header)) {
      found = Accepts(clause);
      if (found.has_value() && watch && found->yaml) found.reset();
      if (found.has_value()) break;
    }
  }
  if (!found.has_value()) {
    return watch ? NotAccepted({"application/json;stream=watch"})
                 : NotAccepted({std::string(kJson), std::string(kYaml)});
  }
  found->pretty = found->pretty || WantsPretty(request);
  return *found;
}

}  // namespace

kube::Result<Representation> NegotiateAnswer(const Request& request) {
  return Negotiate(request, false);
}

kube::Result<Representation> NegotiateWatch(const Request& request) {
  return Negotiate(request, true);
}

std::string MediaTypeOf(absl::string_view header) {
  return absl::AsciiStrToLower(absl::StripAsciiWhitespace(header.substr(0, header.find(';'))));
}

kube::Status UnsupportedMedia(const std::vector<std::string>& supported) {
  return kube::UnsupportedMediaType(
      absl::StrCat("the body of the request was in an unknown format - accepted media types "
                   "include: ",
                   absl::StrJoin(supported, ", ")));
}

kube::Result<bool> BodyIsYaml(const Request& request) {
  const std::string type = MediaTypeOf(request.Header("content-type"));
  if (type.empty() || type == kJson) return false;
  if (type == kYaml) return true;
  return UnsupportedMedia({std::string(kJson), std::string(kYaml)});
}

}  // namespace meltemi::apiserver
