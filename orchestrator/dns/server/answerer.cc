#include "orchestrator/dns/server/answerer.h"

#include <chrono>
#include <cstring>
#include <tuple>
#include <utility>

namespace meltemi::dns {
namespace {

// CoreDNS' bounds, in seconds.
constexpr double kSecondBounds[] = {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032,
                                    0.064,   0.128,  0.256, 0.512, 1.024, 2.048, 4.096, 8.192};
uint8_t RcodeOf(absl::string_view message) {
  return message.size() < kHeaderBytes ? 0 : static_cast<uint8_t>(message[3]) & 0x0F;
}

absl::string_view Put(absl::string_view message, char* out) {
  std::memcpy(out, message.data(), message.size());
  return absl::string_view(out, message.size());
}

}  // namespace

Answerer::Answerer(const Clock& clock, const Records& records, Forwarder& forwarder,
                   metrics::Scope* metrics, std::string server, std::string zone)
    : clock_(clock),
      records_(records),
      forwarder_(forwarder),
      metrics_(metrics),
      server_(std::move(server)),
      zones_{std::move(zone), "."} {
  if (metrics_ == nullptr) return;
  for (const Zone zone : {kCluster, kOther}) {
    durations_[zone] =
        &metrics_->GetHistogram("coredns_dns_request_duration_seconds", kSecondBounds,
                                {{"server", server_}, {"zone", zones_[zone]}});
  }
  hits_[0] = &metrics_->GetCounter("coredns_cache_hits_total",
                                   {{"server", server_}, {"type", "success"}, {"zones", "."}});
  hits_[1] = &metrics_->GetCounter("coredns_cache_hits_total",
                                   {{"server", server_}, {"type", "denial"}, {"zones", "."}});
  misses_ =
      &metrics_->GetCounter("coredns_cache_misses_total", {{"server", server_}, {"zones", "."}});
}

void Answerer::CountRequest(const Asked& asked) {
  if (metrics_ == nullptr) return;
  const absl::string_view type = TypeText(asked.query.type);
  metrics::Counter*& counter = requests_[{asked.zone, asked.transport, type}];
  if (counter == nullptr) {
    const bool tcp = asked.transport == Transport::kTcp;
    counter = &metrics_->GetCounter("coredns_dns_requests_total", {{"server", server_},
                                                                   {"zone", zones_[asked.zone]},
                                                                   {"proto", tcp ? "tcp" : "udp"},
                                                                   {"family", "1"},
                                                                   {"type", std::string(type)}});
  }
  counter->Inc();
}

absl::string_view Answerer::Counted(const Asked& asked, absl::string_view answer) {
  if (metrics_ == nullptr) return answer;
  const uint8_t rcode = RcodeOf(answer);
  metrics::Counter*& counter = responses_[{asked.zone, rcode}];
  if (counter == nullptr) {
    counter = &metrics_->GetCounter("coredns_dns_responses_total",
                                    {{"server", server_},
                                     {"zone", zones_[asked.zone]},
                                     {"rcode", std::string(RcodeText(rcode))}});
  }
  counter->Inc();
  durations_[asked.zone]->Record(std::chrono::duration<double>(clock_.Now() - asked.began).count());
  return answer;
}

absl::string_view Answerer::Refuse(const Asked& asked, uint8_t rcode, char* out) {
  AnswerWriter writer(out, kUdpBytesDefault);
  writer.Begin(asked.query, rcode, 0);
  return Counted(asked, writer.Finish());
}

absl::string_view Answerer::Answer(absl::string_view message, Transport transport, char* out,
                                   absl::FunctionRef<Reply()> reply) {
  Asked& asked = asked_;
  asked.transport = transport;
  asked.zone = kOther;
  asked.began = clock_.Now();
  const QueryRead read = ReadQuery(message, &asked.query);
  if (read == QueryRead::kIgnore) return "";
  if (read == QueryRead::kFormErr) {
    asked.query.question.clear();
    asked.query.has_edns = false;
    return Refuse(asked, kFormErr, out);
  }
  if (read == QueryRead::kNotImp) return Refuse(asked, kNotImp, out);
  const Query& query = asked.query;
  asked.zone = records_.Owns(query.name) ? kCluster : kOther;
  CountRequest(asked);
  if (query.edns_version > 0) return Refuse(asked, kBadVers, out);
  if (query.klass != kClassIn || query.type == kTypeAxfr || query.type == kTypeIxfr) {
    return Refuse(asked, kRefused, out);
  }
  if (query.type == kTypeAny) return Refuse(asked, kNotImp, out);
  if (forwarder_.NoticeLoop(query.name)) return Refuse(asked, kRefused, out);
  if (!ready_ && asked.zone == kCluster) return Refuse(asked, kServFail, out);
  AnswerWriter writer(out, asked.bytes_max());
  Name external;
  switch (records_.Answer(query, &writer, &external)) {
    case Answered::kDone:
      return Counted(asked, writer.Finish());
    case Answered::kExternal:
      return AnswerExternal(asked, external, out, reply);
    case Answered::kElsewhere:
      break;
  }
  return AnswerElsewhere(asked, out, reply);
}

absl::string_view Answerer::AnswerElsewhere(const Asked& asked, char* out,
                                            absl::FunctionRef<Reply()> reply) {
  const ForwardKey key = ForwardKey::Of(asked.query);
  if (const UpstreamAnswerPtr cached = forwarder_.Cached(key); cached != nullptr) {
    if (metrics_ != nullptr) hits_[cached->denial() ? 1 : 0]->Inc();
    return Counted(asked,
                   Put(AnswerFor(asked.query, *cached, clock_.Now(), asked.bytes_max()), out));
  }
  if (metrics_ != nullptr) misses_->Inc();
  forwarder_.Ask(key, [this, asked, reply = reply()](const UpstreamAnswerPtr& answer) {
    if (answer == nullptr) {
      std::array<char, kUdpBytesDefault> room;
      reply(Refuse(asked, kServFail, room.data()));
      return;
    }
    reply(Counted(asked, AnswerFor(asked.query, *answer, clock_.Now(), asked.bytes_max())));
  });
  return "";
}

absl::string_view Answerer::AnswerExternal(const Asked& asked, const Name& external, char* out,
                                           absl::FunctionRef<Reply()> reply) {
  ForwardKey key = ForwardKey::Of(asked.query);
  key.name = external;
  if (const UpstreamAnswerPtr cached = forwarder_.Cached(key); cached != nullptr) {
    if (metrics_ != nullptr) hits_[cached->denial() ? 1 : 0]->Inc();
    return WriteExternal(asked, *cached, out);
  }
  if (metrics_ != nullptr) misses_->Inc();
  forwarder_.Ask(key, [this, asked, reply = reply()](const UpstreamAnswerPtr& answer) {
    std::string room(asked.bytes_max(), '\0');
    reply(answer == nullptr ? Refuse(asked, kServFail, room.data())
                            : WriteExternal(asked, *answer, room.data()));
  });
  return "";
}

absl::string_view Answerer::WriteExternal(const Asked& asked, const UpstreamAnswer& target,
                                          char* out) {
  AnswerWriter writer(out, asked.bytes_max());
  Name external;
  // The service may have become another one since: then that one is the answer.
  const Answered answered = records_.Answer(asked.query, &writer, &external);
  if (answered == Answered::kElsewhere) return Refuse(asked, kServFail, out);
  if (answered == Answered::kExternal) {
    CopyAnswers(target.message, target.info, &writer);
    writer.SetRcode(target.info.rcode);
  }
  return Counted(asked, writer.Finish());
}

}  // namespace meltemi::dns
