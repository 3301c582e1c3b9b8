#include "proxy/config/compile/access_log.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/core/v3/substitution_format_string.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "google/protobuf/struct.pb.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/observe/formatted_log.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::proxy {
namespace {

namespace log_v3 = envoy::config::accesslog::v3;
namespace core_v3 = envoy::config::core::v3;
namespace file_v3 = envoy::extensions::access_loggers::file::v3;
namespace stream_v3 = envoy::extensions::access_loggers::stream::v3;

using google::protobuf::Struct;
using google::protobuf::Value;
using Node = JsonFormat::Node;

constexpr int kDepthMax = 16;

absl::Status Wrong(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

// --- formats

struct FormatOptions {
  bool omit_empty = false;
  const FormatEnvironment& environment;
};

absl::StatusOr<std::shared_ptr<const Format>> CompileText(absl::string_view text,
                                                          absl::string_view where,
                                                          const FormatOptions& options) {
  auto format = Format::Compile(text, options.omit_empty, options.environment);
  if (!format.ok()) return Wrong(where, format.status().message());
  return format;
}

absl::StatusOr<Node> CompileNode(const Value& value, const std::string& where, int depth,
                                 const FormatOptions& options);

absl::StatusOr<Node> CompileObject(const Struct& object, const std::string& where, int depth,
                                   const FormatOptions& options) {
  Node node;
  node.kind = Node::Kind::kObject;
  for (const auto& [name, value] : object.fields()) {
    ASSIGN_OR_RETURN(Node child,
                     CompileNode(value, absl::StrCat(where, ".", name), depth + 1, options));
    node.children.emplace_back(name, std::move(child));
  }
  std::sort(node.children.begin(), node.children.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return node;
}

std::string NumberText(double number) {
  if (number == std::floor(number) && std::fabs(number) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(number));
  }
  return absl::StrCat(number);
}

absl::StatusOr<Node> CompileNode(const Value& value, const std::string& where, int depth,
                                 const FormatOptions& options) {
  if (depth > kDepthMax) return Wrong(where, "is nested too deep");
  Node node;
  switch (value.kind_case()) {
    case Value::kStringValue: {
      ASSIGN_OR_RETURN(node.format, CompileText(value.string_value(), where, options));
      return node;
    }
    case Value::kStructValue:
      return CompileObject(value.struct_value(), where, depth, options);
    case Value::kListValue:
      node.kind = Node::Kind::kList;
      for (int i = 0; i < value.list_value().values_size(); ++i) {
        ASSIGN_OR_RETURN(Node child,
                         CompileNode(value.list_value().values(i), absl::StrCat(where, "[", i, "]"),
                                     depth + 1, options));
        node.children.emplace_back("", std::move(child));
      }
      return node;
    default:
      node.kind = Node::Kind::kRaw;
      node.raw = value.kind_case() == Value::kBoolValue ? (value.bool_value() ? "true" : "false")
                 : value.kind_case() == Value::kNumberValue ? NumberText(value.number_value())
                                                            : "null";
      return node;
  }
}

absl::StatusOr<LineFormat> CompileJson(const Struct& json, const std::string& where,
                                       const FormatOptions& options) {
  ASSIGN_OR_RETURN(Node root, CompileObject(json, where, 0, options));
  return LineFormat(std::make_shared<const JsonFormat>(std::move(root)));
}

absl::StatusOr<LineFormat> CompileTextLine(absl::string_view text, absl::string_view where,
                                           const FormatOptions& options) {
  ASSIGN_OR_RETURN(std::shared_ptr<const Format> format, CompileText(text, where, options));
  return LineFormat(std::move(format));
}

// %REQ_WITHOUT_QUERY% is built in; any other formatter brings commands that are not here.
absl::Status CheckFormatters(const core_v3::SubstitutionFormatString& format,
                             const std::string& where) {
  for (const auto& formatter : format.formatters()) {
    const std::string type = AnyTypeName(formatter.typed_config());
    if (type == "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery") continue;
    return Wrong(where, absl::StrCat("formatter '", type, "' is not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<LineFormat> CompileLogFormat(const core_v3::SubstitutionFormatString& format,
                                            const std::string& where,
                                            const FormatEnvironment& environment) {
  // content_type is for bodies; JSON properties are sorted whatever the options say.
  RETURN_IF_ERROR(
      CheckSupported(format, where,
                     {"text_format", "json_format.**", "text_format_source.inline_string",
                      "text_format_source.inline_bytes", "omit_empty_values", "content_type",
                      "formatters.**", "json_format_options.**"}));
  RETURN_IF_ERROR(CheckFormatters(format, where));
  const FormatOptions options{format.omit_empty_values(), environment};
  switch (format.format_case()) {
    case core_v3::SubstitutionFormatString::kJsonFormat:
      return CompileJson(format.json_format(), absl::StrCat(where, ".json_format"), options);
    case core_v3::SubstitutionFormatString::kTextFormat:
      return CompileTextLine(format.text_format(), absl::StrCat(where, ".text_format"), options);
    case core_v3::SubstitutionFormatString::kTextFormatSource: {
      const auto& source = format.text_format_source();
      return CompileTextLine(
          source.inline_bytes().empty() ? source.inline_string() : source.inline_bytes(),
          absl::StrCat(where, ".text_format_source"), options);
    }
    default:
      return Wrong(where, "no format is set");
  }
}

absl::StatusOr<LineFormat> CompileFileFormat(const file_v3::FileAccessLog& file,
                                             const std::string& where,
                                             const FormatEnvironment& environment) {
  const FormatOptions options{false, environment};
  switch (file.access_log_format_case()) {
    case file_v3::FileAccessLog::kFormat:
      if (file.format().empty()) break;
      return CompileTextLine(file.format(), absl::StrCat(where, ".format"), options);
    case file_v3::FileAccessLog::kJsonFormat:
      return CompileJson(file.json_format(), absl::StrCat(where, ".json_format"), options);
    case file_v3::FileAccessLog::kTypedJsonFormat:
      return CompileJson(file.typed_json_format(), absl::StrCat(where, ".typed_json_format"),
                         options);
    case file_v3::FileAccessLog::kLogFormat:
      return CompileLogFormat(file.log_format(), absl::StrCat(where, ".log_format"), environment);
    default:
      break;
  }
  return CompileTextLine(kEnvoyDefaultLogFormat, where, options);
}

// --- filters

absl::Status SetComparison(const log_v3::ComparisonFilter& comparison, absl::string_view where,
                           LogFilter* out) {
  switch (comparison.op()) {
    case log_v3::ComparisonFilter::EQ:
      out->compare = LogFilter::Compare::kEqual;
      break;
    case log_v3::ComparisonFilter::GE:
      out->compare = LogFilter::Compare::kAtLeast;
      break;
    case log_v3::ComparisonFilter::LE:
      out->compare = LogFilter::Compare::kAtMost;
      break;
    default:
      return Wrong(where, "unknown comparison");
  }
  out->value = comparison.value().default_value();  // there is no runtime
  return absl::OkStatus();
}

absl::StatusOr<LogFilter> CompileLogFilter(const log_v3::AccessLogFilter& filter,
                                           const std::string& where, int depth);

absl::Status CompileChildren(
    const google::protobuf::RepeatedPtrField<log_v3::AccessLogFilter>& filters,
    const std::string& where, int depth, LogFilter* out) {
  for (int i = 0; i < filters.size(); ++i) {
    ASSIGN_OR_RETURN(
        LogFilter child,
        CompileLogFilter(filters[i], absl::StrCat(where, ".filters[", i, "]"), depth + 1));
    out->children.push_back(std::move(child));
  }
  return absl::OkStatus();
}

absl::Status CompileFlags(const log_v3::ResponseFlagFilter& filter, const std::string& where,
                          LogFilter* out) {
  for (const std::string& name : filter.flags()) {
    const uint32_t flag = ResponseFlagFromName(name);
    if (flag == 0) return Wrong(where, absl::StrCat("unknown response flag \"", name, "\""));
    out->flags |= flag;
  }
  return absl::OkStatus();
}

absl::StatusOr<LogFilter> CompileLogFilter(const log_v3::AccessLogFilter& filter,
                                           const std::string& where, int depth) {
  if (depth > kDepthMax) return Wrong(where, "is nested too deep");
  // not_health_check_filter: no request here is ever marked as a health check.
  RETURN_IF_ERROR(CheckSupported(
      filter, where,
      {"status_code_filter.**", "duration_filter.**", "not_health_check_filter.**", "and_filter.**",
       "or_filter.**", "header_filter.**", "response_flag_filter.**", "grpc_status_filter.**"}));
  LogFilter out;
  switch (filter.filter_specifier_case()) {
    case log_v3::AccessLogFilter::kStatusCodeFilter:
      out.kind = LogFilter::Kind::kStatus;
      RETURN_IF_ERROR(SetComparison(filter.status_code_filter().comparison(), where, &out));
      break;
    case log_v3::AccessLogFilter::kDurationFilter:
      out.kind = LogFilter::Kind::kDuration;
      RETURN_IF_ERROR(SetComparison(filter.duration_filter().comparison(), where, &out));
      break;
    case log_v3::AccessLogFilter::kNotHealthCheckFilter:
      break;
    case log_v3::AccessLogFilter::kAndFilter:
      out.kind = LogFilter::Kind::kAnd;
      RETURN_IF_ERROR(CompileChildren(filter.and_filter().filters(),
                                      absl::StrCat(where, ".and_filter"), depth, &out));
      break;
    case log_v3::AccessLogFilter::kOrFilter:
      out.kind = LogFilter::Kind::kOr;
      RETURN_IF_ERROR(CompileChildren(filter.or_filter().filters(),
                                      absl::StrCat(where, ".or_filter"), depth, &out));
      break;
    case log_v3::AccessLogFilter::kHeaderFilter: {
      out.kind = LogFilter::Kind::kHeader;
      ASSIGN_OR_RETURN(HeaderMatcher header,
                       CompileHeaderMatcher(filter.header_filter().header(),
                                            absl::StrCat(where, ".header_filter.header")));
      out.header = std::make_shared<const HeaderMatcher>(std::move(header));
      break;
    }
    case log_v3::AccessLogFilter::kResponseFlagFilter:
      out.kind = LogFilter::Kind::kFlags;
      RETURN_IF_ERROR(CompileFlags(filter.response_flag_filter(), where, &out));
      break;
    case log_v3::AccessLogFilter::kGrpcStatusFilter:
      out.kind = LogFilter::Kind::kGrpcStatus;
      out.exclude = filter.grpc_status_filter().exclude();
      for (const int status : filter.grpc_status_filter().statuses()) {
        out.statuses.push_back(status);
      }
      break;
    default:
      return Wrong(where, "no filter is set");
  }
  return out;
}

// --- loggers

struct Destination {
  std::string path;
  LineFormat format;
};

template <typename Message>
absl::StatusOr<Destination> CompileStream(const google::protobuf::Any& any,
                                          const std::string& where, absl::string_view path,
                                          const CompileContext& context) {
  Message config;
  RETURN_IF_ERROR(UnpackAny(any, where, &config));
  RETURN_IF_ERROR(CheckSupported(config, where, {"log_format"}));
  Destination out{std::string(path), {}};
  if (config.has_log_format()) {
    ASSIGN_OR_RETURN(out.format,
                     CompileLogFormat(config.log_format(), absl::StrCat(where, ".log_format"),
                                      context.environment));
  } else {
    ASSIGN_OR_RETURN(out.format,
                     CompileTextLine(kEnvoyDefaultLogFormat, where, {false, context.environment}));
  }
  return out;
}

absl::StatusOr<Destination> CompileDestination(const google::protobuf::Any& any,
                                               const std::string& where,
                                               const CompileContext& context) {
  const std::string type = AnyTypeName(any);
  if (type == stream_v3::StdoutAccessLog::descriptor()->full_name()) {
    return CompileStream<stream_v3::StdoutAccessLog>(any, where, "/dev/stdout", context);
  }
  if (type == stream_v3::StderrAccessLog::descriptor()->full_name()) {
    return CompileStream<stream_v3::StderrAccessLog>(any, where, "/dev/stderr", context);
  }
  if (type != file_v3::FileAccessLog::descriptor()->full_name()) {
    return Wrong(where, absl::StrCat("an access log of type '", type, "' is not supported"));
  }
  file_v3::FileAccessLog file;
  RETURN_IF_ERROR(UnpackAny(any, where, &file));
  RETURN_IF_ERROR(CheckSupported(
      file, where, {"path", "format", "json_format.**", "typed_json_format.**", "log_format"}));
  if (file.path().empty()) return Wrong(where, "'path' is empty");
  Destination out{file.path(), {}};
  ASSIGN_OR_RETURN(out.format, CompileFileFormat(file, where, context.environment));
  return out;
}

}  // namespace

absl::StatusOr<std::vector<std::shared_ptr<const AccessLog>>> CompileAccessLogs(
    const google::protobuf::RepeatedPtrField<log_v3::AccessLog>& logs, absl::string_view where,
    const CompileContext& context) {
  std::vector<std::shared_ptr<const AccessLog>> out;
  for (int i = 0; i < logs.size(); ++i) {
    const std::string at = absl::StrCat(where, ": access_log[", i, "] '", logs[i].name(), "'");
    RETURN_IF_ERROR(CheckSupported(logs[i], at, {"name", "filter", "typed_config"}));
    LogFilter filter;
    if (logs[i].has_filter()) {
      ASSIGN_OR_RETURN(filter, CompileLogFilter(logs[i].filter(), absl::StrCat(at, ": filter"), 0));
    }
    ASSIGN_OR_RETURN(Destination destination,
                     CompileDestination(logs[i].typed_config(), at, context));
    ASSIGN_OR_RETURN(std::shared_ptr<LogSink> sink, context.log_sinks.Open(destination.path));
    out.push_back(
        NewFormattedLog(std::move(filter), std::move(destination.format), std::move(sink)));
  }
  return out;
}

}  // namespace meltemi::proxy
