#include "pilot/ingest/kube/feed.h"

#include <google/protobuf/message.h>

#include <utility>

namespace meltemi::pilot {

using google::protobuf::Message;

Feed::Feed(kube::Client& client, kube::Executor& executor, std::shared_ptr<Inbox> inbox,
           FeedOptions options)
    : options_(std::move(options)),
      inbox_(std::move(inbox)),
      id_(inbox_->Open(options_.info.kind)),
      reflector_(std::make_shared<kube::Reflector>(
          client, executor, options_.informer,
          kube::ReflectedKind{.prototype = PrototypeOf(options_.info),
                              .resource = options_.resource,
                              .field_selector = std::string(FieldSelectorOf(options_.info.kind))},
          *this)) {}

Feed::~Feed() { reflector_->Stop(); }

void Feed::OnListed(std::unique_ptr<Message> object) {
  arrivals_.push_back(
      Convert(options_.info, options_.resource, std::move(object), options_.validator));
}

void Feed::OnList(int64_t) {
  inbox_->PutAll(id_, options_.info.kind, std::exchange(arrivals_, {}));
}

void Feed::OnObject(std::unique_ptr<Message> object, bool gone, int64_t) {
  inbox_->Put(
      id_, gone ? Gone(options_.info, *object)
                : Convert(options_.info, options_.resource, std::move(object), options_.validator));
}

}  // namespace meltemi::pilot
