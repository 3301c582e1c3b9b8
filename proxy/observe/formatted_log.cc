#include "proxy/observe/formatted_log.h"

#include <algorithm>
#include <utility>

#include "proxy/observe/stream_info.h"
#include "proxy/stream/reply/reply.h"

namespace meltemi::proxy {
namespace {

bool Compares(LogFilter::Compare compare, uint64_t left, uint64_t right) {
  switch (compare) {
    case LogFilter::Compare::kEqual:
      return left == right;
    case LogFilter::Compare::kAtLeast:
      return left >= right;
    case LogFilter::Compare::kAtMost:
      return left <= right;
  }
  return false;
}

// The gRPC status that was said, else the one that the HTTP status stands for (Envoy).
int GrpcStatusOf(const StreamInfo& info) {
  if (info.grpc_status >= 0) return info.grpc_status;
  return info.response_code == 200 ? 0 : GrpcStatusFromHttp(info.response_code);
}

class FormattedLog final : public AccessLog {
 public:
  FormattedLog(LogFilter filter, LineFormat format, std::shared_ptr<LogSink> sink)
      : filter_(std::move(filter)), format_(std::move(format)), sink_(std::move(sink)) {}

  void Write(const http::HeaderMap* request, const http::HeaderMap* response,
             const http::HeaderMap* trailers, const StreamInfo& info) const override {
    const FormatInput input{request, response, trailers, &info};
    if (!filter_.Passes(input)) return;
    // A worker's line keeps its memory from one request to the next.
    thread_local std::string line;
    line.clear();
    if (const auto* text = std::get_if<0>(&format_)) {
      (*text)->Append(input, &line);
    } else {
      std::get<1>(format_)->Append(input, &line);
      line.push_back('\n');
    }
    sink_->Write(line);
  }

 private:
  const LogFilter filter_;
  const LineFormat format_;
  const std::shared_ptr<LogSink> sink_;
};

}  // namespace

bool LogFilter::Passes(const FormatInput& input) const {
  const StreamInfo& info = *input.info;
  const auto passes = [&](const LogFilter& child) { return child.Passes(input); };
  switch (kind) {
    case Kind::kAll:
      return true;
    case Kind::kStatus:
      return Compares(compare, static_cast<uint64_t>(info.response_code), value);
    case Kind::kDuration: {
      const int64_t ms = info.end > info.start ? ToMillis(info.end - info.start) : 0;
      return Compares(compare, static_cast<uint64_t>(ms), value);
    }
    case Kind::kFlags:
      return flags == 0 ? info.response_flags != 0 : (info.response_flags & flags) != 0;
    case Kind::kGrpcStatus: {
      const bool listed =
          std::find(statuses.begin(), statuses.end(), GrpcStatusOf(info)) != statuses.end();
      return listed != exclude;
    }
    case Kind::kHeader:
      return input.request != nullptr && header->Matches(*input.request);
    case Kind::kAnd:
      return std::all_of(children.begin(), children.end(), passes);
    case Kind::kOr:
      return std::any_of(children.begin(), children.end(), passes);
  }
  return true;
}

std::shared_ptr<const AccessLog> NewFormattedLog(LogFilter filter, LineFormat format,
                                                 std::shared_ptr<LogSink> sink) {
  return std::make_shared<FormattedLog>(std::move(filter), std::move(format), std::move(sink));
}

}  // namespace meltemi::proxy
