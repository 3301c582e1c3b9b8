#include "orchestrator/apiserver/http/exchange.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/syntax.h"
#include "orchestrator/apiserver/http/body_answer.h"
#include "orchestrator/apiserver/http/body_source.h"
#include "orchestrator/apiserver/http/go_duration.h"
#include "orchestrator/apiserver/http/gzip.h"
#include "orchestrator/apiserver/http/in_flight.h"
#include "orchestrator/apiserver/http/proxied_answer.h"
#include "orchestrator/apiserver/http/query.h"
#include "orchestrator/apiserver/http/response_head.h"
#include "orchestrator/apiserver/http/streamed_answer.h"
#include "orchestrator/apiserver/http/watch_answer.h"

namespace meltemi::apiserver {
namespace {

// Answers of handlers that can't be sent compressed.
void CompressIfWanted(const ServerOptions& options, const Request& request, Body* body) {
  if (body->bytes.size() < options.gzip_bytes_min ||
      !AcceptsGzip(request.Header("accept-encoding"))) {
    return;
  }
  for (const auto& [name, value] : body->fields) {
    if (absl::EqualsIgnoreCase(name, "content-encoding")) return;
  }
  std::string packed = Gzip(body->bytes);
  if (packed.empty()) return;
  body->bytes = std::move(packed);
  body->fields.emplace_back("content-encoding", "gzip");
  body->fields.emplace_back("vary", "Accept-Encoding");
}

}  // namespace

// The request while it is received and worked on.
struct Exchange::Job {
  Job(ServerShared& shared, Exchange* exchange) : shared(shared), exchange(exchange) {}
  ~Job() { ReleaseBody(); }
  // The handler has done with the body, and its thread may still hold this for a moment.
  void ReleaseBody() {
    shared.body_bytes.fetch_sub(std::exchange(counted_bytes, 0), std::memory_order_relaxed);
  }

  ServerShared& shared;
  Exchange* exchange;  // looked at on the loop; null: nobody waits for the answer
  size_t counted_bytes = 0;
  Request request;
};

Exchange::Exchange(LoopContext& context, std::shared_ptr<const PeerInfo> peer, http::Stream& stream)
    : context_(context), stream_(stream), peer_(std::move(peer)) {}

Exchange::~Exchange() { Leave(); }

// Whatever the handler answers from now on is dropped.
void Exchange::Leave() {
  if (job_ != nullptr) job_->exchange = nullptr;
  job_.reset();
  if (deadline_timer_ != nullptr) deadline_timer_->Disarm();
}

void Exchange::Drain() {
  if (answer_ != nullptr) answer_->Drain();
}

// ---- Receiving ----------------------------------------------------------------------------------

void Exchange::OnHeaders(http::HeaderMapPtr headers, bool end_stream) {
  request_ended_ = end_stream;
  job_ = std::make_shared<Job>(context_.shared, this);
  if (!ReadHead(*headers)) return;
  // The bytes of a tunnel begin with its answer.
  if (end_stream || headers->Has(http::HeaderId::kUpgrade)) return Dispatch();
  uint64_t length = 0;
  if (http::ParseContentLength(headers->Get(http::HeaderId::kContentLength), &length) &&
      length > context_.shared.options.body_bytes_max) {
    return Refuse(kube::RequestEntityTooLarge(
        absl::StrCat("limit is ", context_.shared.options.body_bytes_max)));
  }
  if (absl::EqualsIgnoreCase(headers->Get(http::HeaderId::kExpect), "100-continue")) {
    const http::HeaderMapPtr go_on = http::HeaderMap::New();
    go_on->set_status(100);
    stream_.SendInformational(*go_on);
  }
}

bool Exchange::ReadHead(const http::HeaderMap& headers) {
  Request& request = job_->request;
  request.id = context_.shared.next_request_id.fetch_add(1, std::memory_order_relaxed);
  request.method = std::string(headers.method());
  request.target = std::string(headers.path());
  request.remote_address = peer_->remote_address;
  request.certificate = peer_->certificate;
  head_only_ = request.method == "HEAD";
  for (const http::HeaderMap::Entry& entry : headers.entries()) {
    auto [at, is_new] = request.headers.try_emplace(std::string(entry.name), entry.value);
    if (!is_new) absl::StrAppend(&at->second, ", ", entry.value);
  }
  request.headers["host"] = std::string(headers.authority());
  const absl::string_view target = request.target;
  const size_t question = std::min(target.find('?'), target.size());
  const absl::string_view path = target.substr(0, question);
  const absl::string_view query = target.substr(std::min(question + 1, target.size()));
  request.deadline = context_.loop.Now() + context_.shared.options.request_timeout;
  if (request.method == "CONNECT") {
    Refuse(kube::GenericStatus(405, ""));
    return false;
  }
  if (!absl::StartsWith(path, "/") || !DecodePath(path).has_value()) {
    Refuse(kube::BadRequest("the path of the request can't be read"));
    return false;
  }
  request.query = Query::Parse(query);
  request.info = ParseRequestInfo(request.method, path, query);
  return ReadDeadline();
}

bool Exchange::ReadDeadline() {
  Request& request = job_->request;
  Duration timeout = context_.shared.options.request_timeout;
  const std::optional<std::string> asked = request.query.Get("timeout");
  if (asked.has_value() && !asked->empty() && !IsLongRunning(request.info)) {
    const absl::StatusOr<Duration> parsed = ParseGoDuration(*asked);
    if (!parsed.ok()) {
      Refuse(kube::BadRequest(absl::StrCat("invalid timeout specified in the request URL - ",
                                           parsed.status().message())));
      return false;
    }
    if (*parsed > Duration(0)) timeout = std::min(timeout, *parsed);
  }
  request.deadline = context_.loop.Now() + timeout;
  deadline_timer_ = context_.loop.NewTimer([this] { OnDeadline(); });
  deadline_timer_->Arm(timeout);
  return true;
}

bool Exchange::CountBody(size_t bytes) {
  const ServerOptions& options = context_.shared.options;
  if (job_->request.body.size() + bytes > options.body_bytes_max) {
    Refuse(kube::RequestEntityTooLarge(absl::StrCat("limit is ", options.body_bytes_max)));
    return false;
  }
  job_->counted_bytes += bytes;
  if (context_.shared.body_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes >
      options.bodies_bytes_max) {
    Refuse(kube::TooManyRequests("Too many requests, please try again later.", 1));
    return false;
  }
  return true;
}

void Exchange::OnData(Buffer& data, bool end_stream) {
  request_ended_ |= end_stream;
  if (answer_ != nullptr) return answer_->OnClientData(data, end_stream);
  if (state_ != State::kReceiving) return data.Clear();
  if (!CountBody(data.size())) return data.Clear();
  data.ForEachRun(
      [this](absl::string_view run) { job_->request.body.append(run.data(), run.size()); });
  data.Clear();
  if (end_stream) OnRequestEnd();
}

void Exchange::OnRequestEnd() {
  request_ended_ = true;
  if (state_ == State::kReceiving && job_ != nullptr) Dispatch();
}

void Exchange::OnReset(http::ResetCause, absl::string_view) {
  state_ = State::kOver;
  Leave();
  answer_.reset();
}

void Exchange::OnWriteBlocked(bool blocked) {
  write_blocked_ = blocked;
  if (answer_ != nullptr) answer_->OnClientBlocked(blocked);
}

// ---- Handling -----------------------------------------------------------------------------------

void Exchange::Dispatch() {
  state_ = State::kHandling;
  LoopContext* const context = &context_;
  if (!context_.shared.pool->Run([job = job_, context] { RunHandler(job, *context); })) {
    Refuse(kube::TooManyRequests("Too many requests, please try again later.", 1));
  }
}

// On a thread of the pool.
void Exchange::RunHandler(const std::shared_ptr<Job>& job, LoopContext& context) {
  Reply reply = job->shared.handler.Handle(job->request);
  if (Body* const body = std::get_if<Body>(&reply)) {
    CompressIfWanted(job->shared.options, job->request, body);
  }
  context.loop.Post([job, reply = std::move(reply)]() mutable {
    job->ReleaseBody();
    if (job->exchange != nullptr) {
      job->exchange->OnReply(std::move(reply), std::move(job->request));
    }
  });
}

void Exchange::OnReply(Reply reply, Request request) {
  Leave();
  state_ = State::kAnswering;
  if (Body* const body = std::get_if<Body>(&reply)) {
    const size_t waiting = context_.shared.answer_bytes.load(std::memory_order_relaxed);
    if (waiting == 0 || waiting + body->bytes.size() <= context_.shared.options.answers_bytes_max) {
      return AnswerBody(request, std::move(*body));
    }
    return Refuse(kube::TooManyRequests("Too many requests, please try again later.", 1));
  }
  if (auto* const watch = std::get_if<WatchAnswer>(&reply)) return AnswerWatch(request, *watch);
  if (auto* const stream = std::get_if<StreamAnswer>(&reply)) {
    return AnswerStream(request, std::move(*stream));
  }
  AnswerProxy(request, std::get<ProxyAnswer>(reply));
}

void Exchange::OnDeadline() {
  if (state_ != State::kReceiving && state_ != State::kHandling) return;
  Refuse(kube::Timeout("request did not complete within the allotted timeout", 0));
}

// ---- Answering ----------------------------------------------------------------------------------

// An answer of the server itself: there is no handler, or nobody waits for it.
void Exchange::Refuse(const kube::Status& status) {
  Request request;
  if (job_ != nullptr && state_ == State::kReceiving) request = std::move(job_->request);
  Leave();
  state_ = State::kAnswering;
  Reply reply = StatusReply(status);
  AnswerBody(request, std::get<Body>(std::move(reply)));
}

void Exchange::AnswerBody(const Request& request, Body body) {
  const http::HeaderMapPtr head = NewResponseHead(context_, body.code, body.content_type, request);
  for (const auto& [name, value] : body.fields) {
    head->Set(absl::AsciiStrToLower(name), value);
  }
  const bool has_body = body.code >= 200 && body.code != 204 && body.code != 304;
  if (has_body) head->Set(http::HeaderId::kContentLength, absl::StrCat(body.bytes.size()));
  const bool ends = head_only_ || !has_body || body.bytes.empty();
  stream_.SendHeaders(*head, ends);
  if (!ends) {
    auto answer = std::make_unique<BodyAnswer>(context_, stream_, std::move(body.bytes));
    BodyAnswer* const raw = answer.get();
    answer_ = std::move(answer);
    if (write_blocked_) raw->OnClientBlocked(true);
    raw->Start();
    if (!raw->ended()) return;
  }
  // The rest of a request that was answered early is not wanted. (HTTP/1 sees to it by itself.)
  if (!request_ended_ && stream_.protocol() == http::Protocol::kHttp2) {
    stream_.Reset(http::ResetCause::kLocal);
  }
}

void Exchange::AnswerWatch(Request& request, const WatchAnswer& watch) {
  auto answer = std::make_unique<WatchResponse>(context_, stream_);
  if (const kube::Outcome registered = answer->Register(watch.query); !registered.ok()) {
    Reply reply = StatusReply(registered.status());
    return AnswerBody(request, std::get<Body>(std::move(reply)));
  }
  const http::HeaderMapPtr head = NewResponseHead(context_, 200, "application/json", request);
  stream_.SendHeaders(*head, head_only_);
  if (head_only_) return;
  answer->Start(watch.timeout);
  if (context_.draining) answer->Drain();
  answer_ = std::move(answer);
  deadline_timer_.reset();
}

void Exchange::AnswerStream(const Request& request, StreamAnswer stream) {
  http::HeaderMapPtr head;
  if (const std::shared_ptr<Translator> translator = stream.source->translator()) {
    Translator::Out nothing;
    const kube::Result<Translator::Fields> fields = translator->OnUpgraded({}, nothing);
    if (!fields.ok()) {
      Reply reply = StatusReply(fields.status());
      return AnswerBody(request, std::get<Body>(std::move(reply)));
    }
    head = http::HeaderMap::New();
    head->set_status(101);
    for (const auto& [name, value] : *fields) head->Add(name, value);
  } else {
    head = NewResponseHead(context_, 200, stream.content_type, request);
  }
  stream_.SendHeaders(*head, head_only_);
  if (head_only_) return;
  auto answer = std::make_unique<StreamedAnswer>(context_, stream_, std::move(stream.source));
  StreamedAnswer* const raw = answer.get();
  answer_ = std::move(answer);
  if (context_.draining) return raw->Drain();
  if (write_blocked_) raw->OnClientBlocked(true);
  raw->Start();
}

void Exchange::AnswerProxy(Request& request, const ProxyAnswer& proxy) {
  deadline_timer_.reset();
  std::unique_ptr<ProxiedAnswer> answer = NewProxiedAnswer(
      context_, stream_, [this](const kube::Status& status) { OnProxyFailed(status); });
  const kube::Outcome started = answer->Start(request, proxy);
  answer_ = std::move(answer);
  if (!started.ok()) return OnProxyFailed(started.status());
  if (write_blocked_) answer_->OnClientBlocked(true);
}

void Exchange::OnProxyFailed(const kube::Status& status) {
  context_.loop.DeferDelete(std::move(answer_));
  Reply reply = StatusReply(status);
  AnswerBody(Request(), std::get<Body>(std::move(reply)));
}

}  // namespace meltemi::apiserver
