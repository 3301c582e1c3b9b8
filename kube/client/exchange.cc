#include "kube/client/exchange.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/http/header_map.h"
#include "base/json/parse.h"
#include "kube/codec/codec.h"

namespace meltemi::kube {
namespace {

constexpr absl::string_view kStopping = "the client is stopping";
constexpr size_t kRefusalBytesMax = 1024 * 1024;

}  // namespace

Status WayFailed(const HttpRequest& request, absl::string_view why) {
  Status out;
  out.code = 0;
  out.message = absl::StrCat(request.method, " ", request.scheme, "://", request.authority,
                             request.target, ": ", why);
  return out;
}

Status RefusalOf(int code, absl::string_view body, int retry_after_seconds) {
  const auto json = json::Parse(body);
  Status out =
      json.ok() ? Status::FromJson(*json, code) : GenericStatus(code, body.substr(0, 1024));
  if (out.retry_after_seconds == 0) out.retry_after_seconds = retry_after_seconds;
  return out;
}

void Exchange::ArmTimeout(Loop& loop) {
  if (timer_ != nullptr) return;
  timer_ = loop.NewTimer([this] { Fail("no answer in time"); });
  timer_->Arm(std::max(request_.timeout, Duration(milliseconds(1))));
}

void Exchange::Begin(http::Stream& stream, bool reused) {
  stream_ = &stream;
  reused_ = reused;
  http::HeaderMapPtr headers = http::HeaderMap::New();
  headers->set_method(request_.method);
  headers->set_scheme(request_.scheme);
  headers->set_authority(request_.authority);
  headers->set_path(request_.target);
  for (const auto& [name, value] : request_.fields) headers->Add(name, value);
  if (request_.body.empty()) return stream.SendHeaders(*headers, true);
  headers->Add("content-length", absl::StrCat(request_.body.size()));
  stream.SendHeaders(*headers, false);
  Buffer body(request_.body);
  stream.SendData(body, true);
}

bool Exchange::MayRepeat(http::ResetCause cause) const {
  if (repeated_ || answered_) return false;
  if (cause == http::ResetCause::kRemoteRefused) return true;
  // A kept connection that the server has closed meanwhile.
  return cause == http::ResetCause::kConnectionLost && reused_ && request_.method == "GET";
}

void Exchange::Repeat() {
  repeated_ = true;
  stream_ = nullptr;
}

void Exchange::Fail(absl::string_view why) {
  if (std::exchange(over_, true)) return;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(http::ResetCause::kLocal);
  OnFailed(WayFailed(request_, why));
  if (carrier_ != nullptr) carrier_->Release(this);
}

void Exchange::Cancel() {
  if (std::exchange(over_, true)) return;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset(http::ResetCause::kLocal);
  if (carrier_ != nullptr) carrier_->Release(this);
}

void Exchange::OnHeaders(http::HeaderMapPtr headers, bool end_stream) {
  if (over_) return;
  answered_ = true;
  OnAnswer(headers->status(), *headers);
  if (end_stream) End();
}

void Exchange::OnData(Buffer& data, bool end_stream) {
  if (over_) return;
  bool going_on = true;
  data.ForEachRun([&](absl::string_view run) {
    // The owner may cancel from within.
    if (going_on && !over_) going_on = OnBody(run);
  });
  if (over_) return;
  if (!going_on) return Cancel();
  if (end_stream) End();
}

void Exchange::OnReset(http::ResetCause cause, absl::string_view detail) {
  stream_ = nullptr;
  if (over_) return;
  carrier_->Lost(this, cause, detail.empty() ? http::ResetCauseName(cause) : detail);
}

void Exchange::End() {
  if (std::exchange(over_, true)) return;
  stream_ = nullptr;
  OnEnd();
  carrier_->Release(this);
}

CallWaiter::Answer CallWaiter::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  ready_.wait(lock, [this] { return answer_.has_value(); });
  return *std::move(answer_);
}

void CallWaiter::Set(Answer answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (answer_.has_value()) return;
  answer_ = std::move(answer);
  ready_.notify_all();
}

CallExchange::~CallExchange() { waiter_->Set({.failure = WayFailed(request(), kStopping)}); }

void CallExchange::OnAnswer(int code, const http::HeaderMap& headers) {
  answer_.code = code;
  (void)absl::SimpleAtoi(headers.Get("retry-after"), &answer_.retry_after_seconds);
}

bool CallExchange::OnBody(absl::string_view bytes) {
  if (answer_.body.size() + bytes.size() > bytes_max_) {
    OnFailed(
        WayFailed(request(), absl::StrCat("the answer is larger than ", bytes_max_, " bytes")));
    return false;
  }
  answer_.body.append(bytes.data(), bytes.size());
  return true;
}

WatchExchange::~WatchExchange() {
  state_->exchange = nullptr;
  TellEnd(WayFailed(request(), kStopping));
}

void WatchExchange::TellEnd(const Status& why) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  WatchSink* const sink = std::exchange(state_->sink, nullptr);
  if (sink != nullptr) sink->OnEnd(why);
}

void WatchExchange::OnAnswer(int code, const http::HeaderMap&) {
  code_ = code;
  if (code == 200) timer().Disarm();  // from now on it lasts as long as the server wants
}

bool WatchExchange::OnBody(absl::string_view bytes) {
  if (code_ != 200) {
    if (line_.size() < kRefusalBytesMax) line_.append(bytes.data(), bytes.size());
    return true;
  }
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    if (end == absl::string_view::npos) {
      if (line_.size() + bytes.size() > kLineBytesMax) {
        TellEnd(WayFailed(request(), "an event is too large"));
        return false;
      }
      line_.append(bytes.data(), bytes.size());
      return true;
    }
    bool going_on;
    if (line_.empty()) {
      going_on = OnLine(bytes.substr(0, end));
    } else {
      line_.append(bytes.data(), end);
      going_on = OnLine(line_);
      line_.clear();
    }
    if (!going_on) return false;
    bytes.remove_prefix(end + 1);
  }
  return true;
}

bool WatchExchange::OnLine(absl::string_view line) {
  if (line.empty()) return true;
  absl::string_view object;
  if (!SplitWatchEvent(line, &type_, &object)) {
    TellEnd(WayFailed(request(), "what came is no event"));
    return false;
  }
  if (type_ == "ERROR") {
    TellEnd(RefusalOf(500, object, 0));
    return false;
  }
  const std::lock_guard<std::mutex> lock(state_->mutex);
  if (state_->sink == nullptr) return false;
  state_->sink->OnEvent(type_, object);
  return state_->sink != nullptr;
}

void WatchExchange::OnEnd() {
  if (code_ != 200) return TellEnd(RefusalOf(code_, line_, 0));
  Status end;
  end.code = 200;
  end.message = "the server has ended the watch";
  TellEnd(end);
}

}  // namespace meltemi::kube
