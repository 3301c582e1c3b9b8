// One kind, listed and watched: what the API server says is converted where it is heard (the
// client's and the executor's threads) and put into the inbox.
//
// Threads: made, started and destroyed on the loop; destroying waits for what is under way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/reflector.h"
#include "pilot/ingest/decode/kinds.h"
#include "pilot/ingest/kube/convert.h"
#include "pilot/ingest/kube/inbox.h"

namespace meltemi::pilot {

struct FeedOptions {
  KindInfo info;
  kube::ApiResource resource;
  KubeValidator validator;
  kube::InformerOptions informer;
};

class Feed final : public kube::ReflectorSink {
 public:
  // All outlive it.
  Feed(kube::Client& client, kube::Executor& executor, std::shared_ptr<Inbox> inbox,
       FeedOptions options);
  ~Feed() override;

  void Start() { reflector_->Start(); }
  const kube::ApiResource& resource() const { return options_.resource; }

  // --- loop-owned, kept here for the owner ---
  bool listed = false;
  // The last one, when nothing was heard after it; without a message: none.
  kube::Status failure;

 private:
  void OnListBegin() override { arrivals_.clear(); }
  void OnListed(std::unique_ptr<google::protobuf::Message> object) override;
  void OnList(int64_t revision) override;
  void OnObject(std::unique_ptr<google::protobuf::Message> object, bool gone,
                int64_t revision) override;
  void OnBookmark(int64_t) override {}
  void OnFailure(const kube::Status& why) override {
    inbox_->PutFailure(id_, options_.info.kind, why);
  }

  const FeedOptions options_;
  const std::shared_ptr<Inbox> inbox_;
  const uint64_t id_;              // in the inbox
  std::vector<Arrival> arrivals_;  // of the list that is being read
  const std::shared_ptr<kube::Reflector> reflector_;
};

}  // namespace meltemi::pilot
